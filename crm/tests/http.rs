//! The HTTP client against a server that does one strange thing.
#![expect(clippy::unwrap_used, reason = "test code")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crm::http::{Http, Limits, Refusal, Reply, Request};
use engine::failure::{Class, Failure};
use engine::outside::clock::SystemClock;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use url::Url;

/// A server that writes these bytes to every connection, then waits, then closes it.
struct Server {
    url: Url,
    connections: Arc<AtomicUsize>,
}

async fn serve(answer: Vec<u8>, then: Duration) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/api", listener.local_addr().unwrap())).unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = connections.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut request = [0; 4096];
                if stream.read(&mut request).await.is_ok() && stream.write_all(&answer).await.is_ok() {
                    tokio::time::sleep(then).await;
                }
            });
        }
    });
    Server { url, connections }
}

async fn send(server: &Server, limits: Value) -> Result<Reply, Failure> {
    let mut all = json!({ "retries": 2, "retryWaitMin": "1ms", "idleTimeout": "100ms", "firstByteTimeout": "100ms" });
    all.as_object_mut().unwrap().extend(limits.as_object().unwrap().clone());
    let limits: Limits = serde_json::from_value(all).unwrap();
    let http = Http::new("test", limits, None, Arc::new(SystemClock)).unwrap();
    let success = |reply: &Reply| -> Result<(), Refusal> {
        if reply.status.is_success() {
            Ok(())
        } else {
            Err(Failure::new(Class::Config, reply.status.to_string()).into())
        }
    };
    http.send(&Request::get(server.url.clone()), &success).await.map_err(|refusal| refusal.failure)
}

#[tokio::test]
async fn an_answer_that_is_late_cut_or_lies_about_its_length_is_asked_for_again_and_then_named() {
    let minute = Duration::from_secs(60);
    for (name, answer, then, said) in [
        ("no answer", "", minute, "did not answer"),
        ("closed at once", "", Duration::ZERO, "broke"),
        ("half a head", "HTTP/1.1 200 OK\r\nContent-Le", Duration::ZERO, "broke"),
        ("shorter than said", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}", Duration::ZERO, "broke"),
        ("stops in the midst", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}", minute, "midst"),
        ("no HTTP", "SSH-2.0-OpenSSH_9.9\r\n", Duration::ZERO, "broke"),
    ] {
        let server = serve(answer.into(), then).await;
        let failure = send(&server, json!({})).await.unwrap_err();
        assert!(failure.class == Class::Transient && failure.message.contains(said), "{name}: {failure}");
        assert!(failure.message.ends_with("after 3 attempts"), "{name}: {failure}");
        assert_eq!(server.connections.load(Ordering::SeqCst), 3, "{name}");
    }
    let server =
        serve("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}garbage".into(), Duration::ZERO)
            .await;
    assert_eq!(send(&server, json!({})).await.unwrap().body, "{}");
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_not_read_whether_it_says_its_length_or_not() {
    for head in ["Content-Length: 5000000000\r\n", ""] {
        let mut answer = format!("HTTP/1.1 200 OK\r\n{head}\r\n").into_bytes();
        answer.resize(answer.len() + 100_000, b'x');
        let server = serve(answer, Duration::from_secs(60)).await;
        let failure = send(&server, json!({ "bodyBytesMax": 10_000 })).await.unwrap_err();
        assert!(failure.class == Class::Limit && failure.message.contains("10000 bytes"), "{failure}");
        assert_eq!(server.connections.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_an_address_that_nobody_listens_at_is_said() {
    let elsewhere = serve("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".into(), Duration::ZERO).await;
    let head =
        format!("HTTP/1.1 302 Found\r\nLocation: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", elsewhere.url);
    let server = serve(head.into(), Duration::ZERO).await;
    assert!(send(&server, json!({})).await.unwrap_err().message.starts_with("302"));
    assert_eq!(elsewhere.connections.load(Ordering::SeqCst), 0);

    let nobody = Server { url: Url::parse("http://127.0.0.1:1/?secret=canary").unwrap(), connections: Arc::default() };
    let failure = send(&nobody, json!({})).await.unwrap_err();
    assert!(failure.class == Class::Transient && failure.message.contains("cannot be reached"), "{failure}");
    assert!(!failure.message.contains("canary"), "{failure}");
}
