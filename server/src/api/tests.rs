use axum::body::{Body, to_bytes};
use axum::http::Request;
use serde_json::{Value, json};
use tower_service::Service as _;

use super::*;
use crate::opening;
use crate::project::{Given, Project};

/// The API of a data folder that is made for one test.
struct Api {
    router: Router,
    _folder: tempfile::TempDir,
}

impl Api {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("campanile.toml"), "").unwrap();
        let given = Given { config: Some(folder.path().join("campanile.toml")), data: None };
        let project = Project::load(&given, None).unwrap();
        let engine = opening::bare(&project, &[]);
        Self { router: router(Arc::new(Service::new(engine, Arc::new(project)))), _folder: folder }
    }

    async fn ask(&mut self, method: &str, path: &str, body: impl Into<Body>) -> (u16, Value) {
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        let response = self.router.call(request.body(body.into()).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_with_its_own_status_and_a_message() {
    let mut api = Api::new();
    let too_large = vec![b' '; BODY_BYTES_MAX + 1];
    let cases: [(&str, &str, Body, u16); 11] = [
        ("GET", "/runs/nightly-1", Body::empty(), 404),
        ("GET", "/runs/nightly-1/journal", Body::empty(), 404),
        ("GET", "/runs/nightly", Body::empty(), 400),
        ("GET", "/options/LAST", Body::empty(), 404),
        ("GET", "/rejects/7", Body::empty(), 404),
        ("GET", "/rejects/seven", Body::empty(), 400),
        ("GET", "/runs?limit=many", Body::empty(), 400),
        ("GET", "/nowhere", Body::empty(), 404),
        ("DELETE", "/runs", Body::empty(), 405),
        ("POST", "/check", "{ no JSON".into(), 400),
        ("POST", "/check", too_large.into(), 413),
    ];
    for (method, path, body, wanted) in cases {
        let (status, body) = api.ask(method, path, body).await;
        assert_eq!(status, wanted, "{method} {path}: {body}");
        assert!(body["message"].as_str().is_some_and(|message| !message.is_empty()), "{method} {path}: {body}");
    }
}

#[tokio::test]
async fn a_check_lists_the_columns_that_leave_each_port() {
    let schema = std::sync::Arc::new(arrow::datatypes::Schema::new(vec![arrow::datatypes::Field::new(
        "n",
        arrow::datatypes::DataType::Int64,
        true,
    )]));
    let ports = [("a", Columns::Known(schema)), ("b", Columns::None), ("c", Columns::Unknown)];
    let columns = ports.map(|(port, columns)| (("it".to_owned(), port.to_owned()), columns)).into_iter().collect();
    let view = FindingsView::from(Findings { columns, ..Findings::default() });
    let wanted = json!([
        { "activity": "it", "port": "a", "columns": [{ "name": "n", "type": "a whole number" }] },
        { "activity": "it", "port": "b", "columns": [] },
        { "activity": "it", "port": "c" },
    ]);
    assert_eq!(serde_json::to_value(view).unwrap()["columns"], wanted);
}
