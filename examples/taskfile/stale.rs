//! Whether a task is up to date. Owns what is remembered of its last run, and the file in which that is kept.

use std::{
    collections::BTreeMap,
    fs::{self, File, Metadata, Permissions},
    io::{self, Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use polypool::Failure;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use walkdir::{DirEntry, WalkDir};

use crate::file::{Check, Task, clean};

/// What a task's last run that succeeded saw, did and made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// When it ran, in nanoseconds since 1970. Who needs this task remembers it.
    pub ran_at: u64,
    /// The command and what else decides on what it does.
    recipe: String,
    /// When the tasks that it needs had run.
    needs: BTreeMap<String, u64>,
    inputs: Files,
    outputs: Files,
}

/// By their names, quoted as in messages, so that a name which is not UTF-8 can be kept, too. `None` for what is not there.
type Files = BTreeMap<String, Option<Stamp>>;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Stamp {
    modified: u64,
    size: u64,
    hash: Option<String>,
}

impl Record {
    /// What is the case now. What `last` knows of files that have not been touched since is not found out again.
    pub fn now(
        dir: &Path,
        task: &Task,
        needs: BTreeMap<String, u64>,
        last: Option<&Self>,
    ) -> Result<Self, Failure> {
        let recipe = format!("{:?} in {:?} with {:?}", task.command, task.dir, task.env);
        let inputs = files_of(dir, &task.inputs, &task.outputs, task.check, last.map(|last| &last.inputs))?;
        let outputs = files_of(dir, &task.outputs, &[], task.check, last.map(|last| &last.outputs))?;
        Ok(Self { ran_at: 0, recipe, needs, inputs, outputs })
    }

    /// The same where the task is up to date: the times of files are those of now, so that next time their contents need not
    /// be read.
    pub fn since(self, ran_at: u64) -> Self {
        Self { ran_at, ..self }
    }

    /// The same after the command has run. The inputs stay as they were before it: if one has changed meanwhile, the next run
    /// has to see that.
    pub fn done(mut self, dir: &Path, task: &Task) -> Result<Self, Failure> {
        self.outputs = files_of(dir, &task.outputs, &[], task.check, None)?;
        if let Some((name, _)) = self.outputs.iter().find(|(_, stamp)| stamp.is_none()) {
            return Err(Failure::msg(format!("it did not make {name}")));
        }
        self.ran_at = nanos(SystemTime::now());
        Ok(self)
    }

    /// Why a task whose last run is `last` has to run again, now that things are as they are here. `None`: it need not.
    pub fn differs_from(&self, last: &Self, check: Check) -> Option<String> {
        if self.recipe != last.recipe {
            return Some("its command changed".to_owned());
        }
        if let Some((need, _)) =
            self.needs.iter().find(|(need, ran_at)| last.needs.get(*need) != Some(ran_at))
        {
            return Some(format!("{need} ran"));
        }
        let inputs = difference(&self.inputs, &last.inputs, check).map(|change| format!("input {change}"));
        inputs.or_else(|| {
            difference(&self.outputs, &last.outputs, check).map(|change| format!("output {change}"))
        })
    }
}

fn difference(now: &Files, last: &Files, check: Check) -> Option<String> {
    let new = now.iter().find_map(|(name, stamp)| match (stamp, last.get(name)) {
        (None, _) => Some(format!("{name} is missing")),
        (Some(_), None | Some(None)) => Some(format!("{name} is new")),
        (Some(now), Some(Some(last))) => (!now.is_same(last, check)).then(|| format!("{name} changed")),
    });
    new.or_else(|| last.keys().find(|name| !now.contains_key(*name)).map(|name| format!("{name} is gone")))
}

impl Stamp {
    /// `known` saves the reading, if the file has not been touched since.
    fn of(path: &Path, metadata: &Metadata, check: Check, known: Option<&Self>) -> io::Result<Self> {
        let mut stamp = Self { modified: nanos(metadata.modified()?), size: metadata.len(), hash: None };
        if check == Check::Hash && metadata.is_file() {
            stamp.hash = known.filter(|last| stamp.is_untouched(last)).and_then(|last| last.hash.clone());
            if stamp.hash.is_none() {
                stamp.hash = Some(hash(path)?);
            }
        }
        Ok(stamp)
    }

    fn is_same(&self, last: &Self, check: Check) -> bool {
        match check {
            Check::Mtime => self.is_untouched(last),
            Check::Hash => self.hash.is_some() && self.hash == last.hash,
        }
    }

    fn is_untouched(&self, last: &Self) -> bool {
        (self.modified, self.size) == (last.modified, last.size)
    }
}

/// The stamps of some files, and of the files in some folders; without what the task itself makes there, and without hidden ones
/// (`.git`) unless they are named.
fn files_of(
    dir: &Path,
    paths: &[String],
    own: &[String],
    check: Check,
    known: Option<&Files>,
) -> Result<Files, Failure> {
    let own: Vec<PathBuf> = own.iter().map(|path| clean(&dir.join(path))).collect();
    let mut files = Files::new();
    for path in paths {
        let path = clean(&dir.join(path));
        let name = |path: &Path| format!("{:?}", path.strip_prefix(dir).unwrap_or(path));
        if !path.exists() {
            files.insert(name(&path), None);
            continue;
        }
        let is_wanted = |entry: &DirEntry| {
            let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
            entry.depth() == 0 || !is_hidden && !own.iter().any(|own| own == entry.path())
        };
        for entry in WalkDir::new(&path).follow_links(true).into_iter().filter_entry(is_wanted) {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => match error.io_error().map(io::Error::kind) {
                    // A link that leads nowhere, or back to where it came from, is no file.
                    None | Some(io::ErrorKind::NotFound) => continue,
                    Some(_) => return Err(error.into()),
                },
            };
            let metadata = entry.metadata()?;
            if !metadata.is_dir() {
                let name = name(entry.path());
                let known = known.and_then(|known| known.get(&name)?.as_ref());
                let stamp = Stamp::of(entry.path(), &metadata, check, known);
                files.insert(
                    name,
                    Some(stamp.map_err(|error| Failure::msg(format!("{:?}: {error}", entry.path())))?),
                );
            }
        }
    }
    Ok(files)
}

fn hash(path: &Path) -> io::Result<String> {
    let (mut file, mut hasher, mut chunk) = (File::open(path)?, Sha256::new(), vec![0; 64 << 10]);
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            n => hasher.update(&chunk[..n]),
        }
    }
}

fn nanos(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

/// What is remembered of all tasks, in a file beside the Taskfile.
#[derive(Debug)]
pub struct State {
    path: PathBuf,
    pub records: BTreeMap<String, Record>,
}

impl State {
    /// Reads it. A file that is not there, or says nothing, costs no more than a run of everything.
    pub fn beside(taskfile: &Path) -> (Self, Option<String>) {
        let stem = taskfile.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
        let path = taskfile.with_file_name(format!(".{stem}.state"));
        let read = || match fs::read(&path) {
            Ok(text) => Ok(serde_json::from_slice(&text)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
            Err(error) => Err(error),
        };
        let (records, warning) = match read() {
            Ok(records) => (records, None),
            Err(error) => (BTreeMap::new(), Some(format!("{}: {error}; so everything runs", path.display()))),
        };
        (Self { path, records }, warning)
    }

    /// Puts a new file in the place of the old one, so that at any time one of them is there as a whole.
    pub fn write(&self) -> io::Result<()> {
        let folder =
            self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut file =
            tempfile::Builder::new().permissions(Permissions::from_mode(0o666)).tempfile_in(folder)?;
        file.write_all(&serde_json::to_vec(&self.records)?)?;
        file.persist(&self.path)?;
        Ok(())
    }
}
