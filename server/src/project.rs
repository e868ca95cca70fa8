//! Where the things of a project lie: its configuration, data folder, database, files and shared scripts.
//!
//! `campanile.toml` is the one named by `--config`; else the nearest one in the workflow's folder or above it; else
//! the nearest one in the current folder or above it; else there is none, and defaults hold.
//!
//! The project's folder is that of `campanile.toml`; else the parent of the workflow's folder `workflows`, or the
//! workflow's own folder; else, for a command that names no workflow, the nearest folder above the current one with
//! `workflows` or a data folder. Paths in the configuration and the default data folder are relative to it, so that a
//! workflow has the same data folder wherever it is run from; `--data` is relative to the current folder.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf, absolute};

use engine::failure::{Class, Failure};
use engine::outside::store::RunId;
use engine::private;
use engine::problem::Problem;
use serde::{Deserialize, Serialize};

use crate::config::{Config, FILE_NAME};

/// The data folder where nobody names one.
pub const DATA_DEFAULT: &str = ".campanile";
/// The folder of a project's workflows.
const WORKFLOWS: &str = "workflows";
/// The largest configuration or shared script, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// The most scripts that workflows share.
const SCRIPTS_MAX: usize = 1_000;
/// Beside a run's pinned workflow: where both came from.
const ORIGIN: &str = "origin.json";

/// What an operator said of where things lie.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// `--config`
    pub config: Option<PathBuf>,
    /// `--data`
    pub data: Option<PathBuf>,
}

/// Where the things of a project lie. All paths are absolute.
#[derive(Debug, Clone)]
pub struct Project {
    /// The configuration that was read, if there is one.
    pub config_file: Option<PathBuf>,
    /// What it says.
    pub config: Config,
    /// The data folder; it need not exist.
    pub data: PathBuf,
    /// The marketing database.
    pub database: String,
    /// The folder outside of which no activity reads or writes files.
    pub files: PathBuf,
    /// Functions that scripts share, by file name.
    pub library: Vec<(String, String)>,
    /// Equal for two processes that have the same configuration and shared scripts.
    pub identity: String,
}

/// Why a project could not be loaded.
#[derive(Debug)]
pub enum NotLoaded {
    /// The configuration is not right; its text goes along for excerpts.
    Problems(Vec<Problem>, String),
    /// A file cannot be read.
    Failure(Failure),
}

impl From<Failure> for NotLoaded {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

/// Where a run came from, for whoever resumes it from another folder.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Origin {
    /// The workflow's file.
    pub file: PathBuf,
    /// The configuration it was started with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<PathBuf>,
}

impl Project {
    /// The project that a workflow belongs to, or that of the current folder.
    ///
    /// # Errors
    /// Where the configuration is not right, or a file cannot be read.
    pub fn load(given: &Given, workflow: Option<&Path>) -> Result<Self, NotLoaded> {
        let here = |path: &Path| absolute(path).map_err(|error| Failure::io(path.display(), &error));
        let config_file = match &given.config {
            Some(file) => Some(here(file)?),
            None => {
                let beside = workflow.map(here).transpose()?;
                let found = beside.as_deref().and_then(Path::parent).and_then(nearest);
                match found {
                    Some(file) => Some(file),
                    None => nearest(&here(Path::new("."))?),
                }
            }
        };
        if let Some(file) = config_file.as_deref().filter(|file| file.exists()) {
            check_owner(file)?;
        }
        let text = match &config_file {
            Some(file) => read_small(file).map_err(|failure| {
                failure.help("name the right file with --config, or leave it out for the one beside the workflow")
            })?,
            None => String::new(),
        };
        let config = match &config_file {
            Some(file) => Config::parse(file, &text).map_err(|problems| NotLoaded::Problems(problems, text.clone()))?,
            None => Config::default(),
        };
        let folder = match config_file.as_deref().and_then(Path::parent) {
            Some(folder) => folder.to_owned(),
            None => project_folder(&here(Path::new("."))?, workflow.map(here).transpose()?.as_deref()),
        };
        let beside = |path: &Path| folder.join(path);
        let data = match (&given.data, &config.data) {
            (Some(data), _) => here(data)?,
            (None, Some(data)) => beside(data),
            (None, None) => {
                let data = beside(Path::new(DATA_DEFAULT));
                check_old_place(&data, &here(Path::new(DATA_DEFAULT))?)?;
                data
            }
        };
        let database = match &config.database {
            Some(url) => database_url(url, &beside),
            None => format!("sqlite:{}", data.join("marketing.db").display()),
        };
        let files = config.files.as_deref().map_or_else(|| data.join("files"), beside);
        let library = library(&beside(Path::new("scripts")))?;
        let identity = identity(&folder, &text, &library);
        Ok(Self { config_file, config, data, database, files, library, identity })
    }

    /// The project that a run was started in, where `given` names no other.
    ///
    /// # Errors
    /// As [`Project::load`].
    pub fn of_run(given: &Given, run: &RunId) -> Result<Self, NotLoaded> {
        let project = Self::load(given, None)?;
        if given.config.is_some() {
            return Ok(project);
        }
        let Some(config) = project.origin(run).and_then(|origin| origin.config).filter(|file| file.is_file()) else {
            return Ok(project);
        };
        Self::load(&Given { config: Some(config), data: Some(project.data) }, None)
    }

    /// Where a run came from, where that was kept.
    pub fn origin(&self, run: &RunId) -> Option<Origin> {
        let text = fs::read(engine::environment::run_folder(&self.data, run).join(ORIGIN)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// The folder of the store.
    pub fn store_folder(&self) -> PathBuf {
        self.data.join("store")
    }

    /// What the store is kept in: what is there already, else what the configuration says.
    pub fn store_kind(&self) -> store::Kind {
        let folder = self.store_folder();
        if folder.join("redb").exists() {
            store::Kind::Redb
        } else if folder.join("sled").exists() {
            store::Kind::Sled
        } else {
            self.config.store.into()
        }
    }
}

impl Origin {
    /// Keeps it in a run's folder. It serves convenience only: whoever misses it names `--config`.
    pub(crate) fn keep(&self, run_folder: &Path) {
        let kept = serde_json::to_vec_pretty(self).map_err(std::io::Error::other);
        if let Err(error) = kept.and_then(|text| private::replace(&run_folder.join(ORIGIN), &text)) {
            tracing::warn!(%error, "where the run came from could not be kept");
        }
    }
}

/// The configuration in this folder or the nearest one above it.
fn nearest(folder: &Path) -> Option<PathBuf> {
    folder.ancestors().map(|folder| folder.join(FILE_NAME)).find(|file| file.is_file())
}

/// The folder of a project without configuration.
fn project_folder(current: &Path, workflow: Option<&Path>) -> PathBuf {
    let Some(workflow) = workflow else {
        let is_project = |folder: &&Path| [WORKFLOWS, DATA_DEFAULT].iter().any(|part| folder.join(part).is_dir());
        return current.ancestors().find(is_project).unwrap_or(current).to_owned();
    };
    let folder = workflow.parent().unwrap_or(current);
    match folder.parent() {
        Some(above) if folder.file_name().is_some_and(|name| name == WORKFLOWS) => above.to_owned(),
        _ => folder.to_owned(),
    }
}

/// Earlier versions made the data folder in the current folder. What lies there is neither used nor forgotten silently.
fn check_old_place(data: &Path, old: &Path) -> Result<(), Failure> {
    let is_there = |folder: &Path| folder.join("store").is_dir();
    if data == old || !is_there(old) || fs::canonicalize(old).ok() == fs::canonicalize(data).ok() {
        return Ok(());
    }
    let message = format!(
        "there is a data folder {}, where an earlier version looked for it, but this project's is {}",
        old.display(),
        data.display()
    );
    let help = match is_there(data) {
        true => format!("name the one to use with --data, or move {} away", old.display()),
        false => format!("move it there, or name the one to use with --data, such as --data {}", old.display()),
    };
    Err(Failure::new(Class::Config, message).help(help))
}

/// A configuration decides which systems are written to and what runs, so nobody else may have written it.
fn check_owner(file: &Path) -> Result<(), Failure> {
    let owner =
        fs::metadata(file).map_err(|error| Failure::io(format!("cannot read {}", file.display()), &error))?.uid();
    let user = rustix::process::geteuid().as_raw();
    if owner == user || owner == 0 {
        return Ok(());
    }
    let message = format!("{} belongs to another user (uid {owner}; this is {user})", file.display());
    let help = "let it belong to you or root, or name another one with --config";
    Err(Failure::new(Class::Config, message).help(help))
}

fn database_url(url: &str, beside: &dyn Fn(&Path) -> PathBuf) -> String {
    match url.strip_prefix("sqlite:") {
        Some(path) => format!("sqlite:{}", beside(Path::new(path.trim_start_matches("//"))).display()),
        None => url.to_owned(),
    }
}

/// The shared scripts, in the order of their names.
fn library(folder: &Path) -> Result<Vec<(String, String)>, Failure> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(Vec::new()) };
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "rhai") && file.is_file());
    files.sort();
    if files.len() > SCRIPTS_MAX {
        let message = format!("{} has {} scripts; the most is {SCRIPTS_MAX}", folder.display(), files.len());
        return Err(Failure::new(Class::Limit, message));
    }
    let named = |file: PathBuf| {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok((name, read_small(&file)?))
    };
    files.into_iter().map(named).collect()
}

fn read_small(file: &Path) -> Result<String, Failure> {
    let failed = |error: &std::io::Error| Failure::io(format!("cannot read {}", file.display()), error);
    let length = fs::metadata(file).map_err(|error| failed(&error))?.len();
    if length > FILE_BYTES_MAX {
        let message = format!("{} has {length} bytes; the most is {FILE_BYTES_MAX}", file.display());
        return Err(Failure::new(Class::Limit, message));
    }
    fs::read_to_string(file).map_err(|error| failed(&error))
}

fn identity(folder: &Path, text: &str, library: &[(String, String)]) -> String {
    let mut hasher = blake3::Hasher::new();
    let folder = folder.display().to_string();
    let library = library.iter().flat_map(|(name, text)| [name.as_str(), text.as_str()]);
    for part in [folder.as_str(), text].into_iter().chain(library) {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_beside_the_workflows_is_found_and_its_paths_are_relative_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for inner in ["workflows", "scripts"] {
            fs::create_dir(root.join(inner)).unwrap();
        }
        let config = "data = \"kept\"\ndatabase = \"sqlite:db/marketing.db\"\nfiles = \"/srv/files\"\n";
        fs::write(root.join(FILE_NAME), config).unwrap();
        fs::write(root.join("scripts/mail.rhai"), "fn a() { 1 }").unwrap();
        fs::write(root.join("scripts/notes.txt"), "no script").unwrap();
        let project = Project::load(&Given::default(), Some(&root.join("workflows/x.json"))).unwrap();
        assert_eq!(project.config_file, Some(root.join(FILE_NAME)));
        assert_eq!(project.data, root.join("kept"));
        assert_eq!(project.database, format!("sqlite:{}", root.join("db/marketing.db").display()));
        assert_eq!(project.files, Path::new("/srv/files"));
        assert_eq!(project.library, [("mail.rhai".to_owned(), "fn a() { 1 }".to_owned())]);

        let given = Given { data: Some("/elsewhere".into()), ..Given::default() };
        let other = Project::load(&given, Some(&root.join("workflows/x.json"))).unwrap();
        assert_eq!((other.data.as_path(), &other.identity), (Path::new("/elsewhere"), &project.identity));
        fs::write(root.join("scripts/mail.rhai"), "fn a() { 2 }").unwrap();
        let changed = Project::load(&given, Some(&root.join("workflows/x.json"))).unwrap();
        assert_ne!(changed.identity, project.identity);
    }

    #[test]
    fn a_project_without_configuration_has_one_data_folder_wherever_it_is_run_from() {
        let root = Path::new("/srv/project");
        let data = |workflow: &str| project_folder(Path::new("/tmp"), Some(Path::new(workflow)));
        assert_eq!(data("/srv/project/workflows/x.json"), root);
        assert_eq!(data("/srv/project/x.json"), root);
        let folder = tempfile::tempdir().unwrap();
        let project = folder.path().join("project");
        fs::create_dir_all(project.join("workflows/inner")).unwrap();
        assert_eq!(project_folder(&project.join("workflows/inner"), None), project);
        assert_eq!(project_folder(Path::new("/srv"), None), Path::new("/srv"));
    }

    #[test]
    fn a_data_folder_where_an_earlier_version_made_it_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (folder.path().join("here"), folder.path().join("project"));
        check_old_place(&new, &old).unwrap();
        fs::create_dir_all(old.join("store")).unwrap();
        check_old_place(&old, &old).unwrap();
        let failure = check_old_place(&new, &old).unwrap_err();
        assert!(failure.message.contains("/here") && failure.message.contains("/project"), "{failure}");
        assert!(failure.help.unwrap().contains("move it there"));
        fs::create_dir_all(new.join("store")).unwrap();
        assert!(check_old_place(&new, &old).unwrap_err().help.unwrap().contains("--data"));
    }

    #[test]
    fn a_configuration_of_another_user_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(FILE_NAME);
        fs::write(&file, "").unwrap();
        check_owner(&file).unwrap();
        // Only root can give a file away.
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&file, Some(12_345), None).unwrap();
            let failure = check_owner(&file).unwrap_err();
            assert!(failure.message.contains("uid 12345"), "{failure}");
        }
    }

    #[test]
    fn a_configuration_that_is_named_must_be_there() {
        let given = Given { config: Some("/no/such/campanile.toml".into()), ..Given::default() };
        let Err(NotLoaded::Failure(failure)) = Project::load(&given, None) else { panic!("it was found") };
        assert!(failure.message.contains("/no/such/campanile.toml"), "{failure}");
    }
}
