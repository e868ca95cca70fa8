//! Listens on a socket for other processes, as long as this one has the data folder open.
//!
//! `<data>/owner.json` names the process and the socket. It is a hint, not the lock: that is the store's, so a file that a
//! dead owner left is simply written over by the next one.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::Router;
use engine::failure::Failure;
use engine::private;
use serde::{Deserialize, Serialize};
use tokio::net::UnixListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::api::this_process;

/// The longest path of a socket: the system takes 108 bytes, some take 104.
pub(crate) const SOCKET_PATH_BYTES_MAX: usize = 100;
/// How long requests that are being answered may hold up the end.
const FAREWELL_MAX: Duration = Duration::from_secs(2);
const OWNER_FILE: &str = "owner.json";
const SOCKET: &str = "socket";
/// How private folders for sockets begin, so that a dead owner's can be told from other people's.
const PRIVATE_PREFIX: &str = "campanile-";

/// What `owner.json` says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OwnerFile {
    /// The process.
    pub(crate) pid: u32,
    /// Its version of Campanile.
    pub(crate) version: String,
    /// Where it listens.
    pub(crate) socket: PathBuf,
}

/// The API on the socket. When it is dropped, the socket and the file are gone.
#[derive(Debug)]
pub(crate) struct Owner {
    files: Files,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<()>>,
}

/// Removes what it made.
#[derive(Debug)]
struct Files {
    owner: PathBuf,
    socket: PathBuf,
    private: Option<PathBuf>,
}

impl OwnerFile {
    /// What the data folder says of its owner, who may be dead.
    pub(crate) fn read(data: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(data.join(OWNER_FILE)).ok()?).ok()
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        private::replace(path, &serde_json::to_vec_pretty(self).map_err(io::Error::other)?)
    }
}

impl Owner {
    /// Listens. The caller has the store open, so nobody else is the owner.
    pub(crate) fn listen(data: &Path, router: Router) -> Result<Self, Failure> {
        remove_leftovers(data);
        let failed = |error: io::Error| Failure::io(format!("cannot listen in {}", data.display()), &error);
        let files = Files::choose(data).map_err(failed)?;
        let listener = UnixListener::bind(&files.socket).map_err(failed)?;
        fs::set_permissions(&files.socket, Permissions::from_mode(0o600)).map_err(failed)?;
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(async move {
            let until = async {
                stopped.await.ok();
            };
            if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(until).await {
                tracing::error!(%error, "the socket cannot be served any more");
            }
        });
        let this = this_process();
        let said = OwnerFile { pid: this.pid, version: this.version, socket: files.socket.clone() };
        said.write(&files.owner).map_err(failed)?;
        Ok(Self { files, stop: Some(stop), serving: Some(serving) })
    }

    /// Answers what was asked, and listens no more.
    pub(crate) async fn close(mut self) {
        self.files.remove();
        drop(self.stop.take());
        if let Some(serving) = self.serving.take() {
            let abort = serving.abort_handle();
            if tokio::time::timeout(FAREWELL_MAX, serving).await.is_err() {
                abort.abort();
            }
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.files.remove();
        if let Some(serving) = self.serving.take() {
            serving.abort();
        }
    }
}

impl Files {
    fn choose(data: &Path) -> io::Result<Self> {
        let owner = data.join(OWNER_FILE);
        let socket = data.join(SOCKET);
        let private = fs::metadata(data)?.permissions().mode() & 0o077 == 0;
        if private && socket.as_os_str().len() <= SOCKET_PATH_BYTES_MAX {
            return Ok(Self { owner, socket, private: None });
        }
        // Whoever may look into the data folder could reach the socket before its mode is set.
        let folder =
            tempfile::Builder::new().prefix(PRIVATE_PREFIX).permissions(Permissions::from_mode(0o700)).tempdir()?;
        let folder = folder.keep();
        Ok(Self { owner, socket: folder.join(SOCKET), private: Some(folder) })
    }

    fn remove(&self) {
        for file in [&self.owner, &self.socket] {
            fs::remove_file(file).ok();
        }
        if let Some(folder) = &self.private {
            fs::remove_dir(folder).ok();
        }
    }
}

/// What an owner left that was killed.
fn remove_leftovers(data: &Path) {
    if let Some(dead) = OwnerFile::read(data) {
        let folder = dead.socket.parent().filter(|folder| {
            let name = folder.file_name().and_then(|name| name.to_str());
            folder.parent() == Some(&std::env::temp_dir()) && name.is_some_and(|name| name.starts_with(PRIVATE_PREFIX))
        });
        let ours = dead.socket.file_name().is_some_and(|name| name == SOCKET);
        if let Some(folder) = folder.filter(|_| ours) {
            fs::remove_file(&dead.socket).ok();
            // Only where nothing else is in it.
            fs::remove_dir(folder).ok();
        }
    }
    for name in [OWNER_FILE, SOCKET] {
        fs::remove_file(data.join(name)).ok();
    }
}
