//! What the environment says of the MPI job that this process may be of. Owns the variables of the launchers; starts nothing.

use std::{
    env,
    ffi::{OsStr, OsString},
};

use crate::{sys::mpi::Family, wire::control::MARK};

/// The variable by which the user says that MPI is no business of this program, or none of polypool's: `off`.
pub(crate) const SWITCH: &str = "POLYPOOL_MPI";

/// Which job the first rank is of: in its own environment, for those who inherit that.
pub(super) const INHERITED: &str = "POLYPOOL_MPI_JOB";

/// The only argument of a process that was spawned by MPI to hold a worker.
pub(crate) const SPAWNED: &str = "--polypool-mpi-worker";

/// Which process of a job this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Launch {
    pub(super) rank: usize,
    /// None where only MPI itself can tell.
    pub(super) size: Option<usize>,
    pub(super) family: Option<Family>,
    /// It was started from within MPI, by a program like it.
    pub(super) is_spawned: bool,
}

impl Launch {
    /// It is there for others.
    pub(super) fn is_worker(&self) -> bool {
        self.is_spawned || self.rank > 0
    }
}

/// Which rank of how many, by each kind of launcher that says it. The family is that of the library, where the launcher has but one.
const LAUNCHERS: [(&str, &[&str], Option<Family>); 4] = [
    // Open MPI of all versions.
    ("OMPI_COMM_WORLD_RANK", &["OMPI_COMM_WORLD_SIZE"], Some(Family::OpenMpi)),
    ("MV2_COMM_WORLD_RANK", &["MV2_COMM_WORLD_SIZE"], Some(Family::Mpich)),
    // Hydra, which is the mpiexec of MPICH and Intel MPI, and Slurm with `--mpi=pmi2`.
    ("PMI_RANK", &["PMI_SIZE"], Some(Family::Mpich)),
    // Slurm with `--mpi=pmix`, and PRRTE alone.
    ("PMIX_RANK", &["SLURM_STEP_NUM_TASKS", "SLURM_NTASKS", "PRTE_NUM_PROCS"], None),
];

/// Which process of a job this one is, if it is of one.
pub(super) fn launch() -> Option<Launch> {
    let is_spawned = env::args_os().nth(1).is_some_and(|arg| arg == SPAWNED);
    launch_of(|name| env::var_os(name), is_spawned)
}

fn launch_of(var: impl Fn(&str) -> Option<OsString>, is_spawned: bool) -> Option<Launch> {
    // A worker of ours is no rank, wherever it runs.
    if var(MARK).is_some() || var(SWITCH).is_some_and(|switch| switch == "off") {
        return None;
    }
    if var(INHERITED).is_some_and(|inherited| inherited == *identity_of(&var)) && !is_spawned {
        return None;
    }
    let number = |name: &str| var(name)?.to_str()?.trim().parse::<usize>().ok();
    let has_slurm = var("SLURM_PROCID").is_some();
    let found = LAUNCHERS.iter().find_map(|&(rank, sizes, family)| {
        let rank = number(rank)?;
        let size = sizes.iter().find_map(|name| number(name));
        // Slurm starts programs of any library.
        let family = family.filter(|family| *family == Family::OpenMpi || !has_slurm);
        size.is_none_or(|size| rank < size).then_some(Launch { rank, size, family, is_spawned })
    });
    // Slurm's own number is there in a batch script, too, which is no rank of anything: there must be a way to MPI as well.
    let by_slurm = || {
        let is_mpi = ["PMI_FD", "PMIX_NAMESPACE"].iter().any(|name| var(name).is_some());
        let (rank, size) = (number("SLURM_PROCID")?, number("SLURM_NTASKS")?);
        (is_mpi && rank < size).then_some(Launch { rank, size: Some(size), family: None, is_spawned })
    };
    let alone = Launch { rank: 0, size: None, family: None, is_spawned };
    found.or_else(by_slurm).or(is_spawned.then_some(alone))
}

/// By what a job is told from another that was started by one of its processes.
pub(super) fn identity() -> OsString {
    identity_of(|name| env::var_os(name))
}

fn identity_of(var: impl Fn(&str) -> Option<OsString>) -> OsString {
    let names = [
        "PMIX_NAMESPACE",
        "PMIX_SERVER_URI2",
        "PMI_FD",
        "PMI_PORT",
        "PMI_SIZE",
        "SLURM_JOB_ID",
        "SLURM_STEP_ID",
    ];
    let ranks = LAUNCHERS.iter().map(|(rank, ..)| *rank);
    let mut identity = OsString::new();
    for name in names.into_iter().chain(ranks) {
        identity.push(var(name).unwrap_or_default());
        identity.push(",");
    }
    identity
}

/// Whether a variable is one by which a launcher tells a process that it is of a job. Who inherits it and is not of the job takes
/// itself for a rank.
pub(crate) fn of_launcher(name: &OsStr) -> bool {
    const PREFIXES: [&[u8]; 18] = [
        b"OMPI_COMM_WORLD_",
        b"OMPI_WORLD_",
        b"OMPI_APP_",
        b"OMPI_NUM_APP_",
        b"OMPI_FIRST_",
        b"OMPI_FILE_",
        b"OMPI_ARGV",
        b"OMPI_COMMAND",
        b"OMPI_UNIVERSE_",
        b"OMPI_MCA_ess",
        b"OMPI_MCA_orte_",
        b"OMPI_MCA_pmix",
        b"OMPI_MCA_num_procs",
        b"OMPI_MCA_initial_wdir",
        b"PMIX_",
        b"PMI_",
        b"PRTE_LAUNCHED",
        b"MV2_COMM_WORLD_",
    ];
    const NAMES: [&str; 4] = ["MPI_LOCALNRANKS", "MPI_LOCALRANKID", "HYDI_CONTROL_FD", INHERITED];
    let bytes = name.as_encoded_bytes();
    PREFIXES.iter().any(|prefix| bytes.starts_with(prefix)) || NAMES.iter().any(|known| name == *known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(variables: &[(&str, &str)]) -> Option<(usize, Option<usize>, Option<Family>)> {
        let var = |name: &str| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value))
        };
        launch_of(var, false).map(|launch| (launch.rank, launch.size, launch.family))
    }

    #[test]
    fn each_launcher_says_who_one_is() {
        let open = [("OMPI_COMM_WORLD_RANK", "2"), ("OMPI_COMM_WORLD_SIZE", "4"), ("PMIX_RANK", "2")];
        assert_eq!(launch(&open), Some((2, Some(4), Some(Family::OpenMpi))));
        let hydra = [("PMI_RANK", "0"), ("PMI_SIZE", "3"), ("PMI_FD", "9")];
        assert_eq!(launch(&hydra), Some((0, Some(3), Some(Family::Mpich))));
        assert_eq!(launch(&[("PMIX_RANK", "1")]), Some((1, None, None)));
    }

    #[test]
    fn slurm_says_it_and_not_which_library() {
        let pmix =
            [("SLURM_PROCID", "1"), ("SLURM_NTASKS", "8"), ("PMIX_RANK", "1"), ("SLURM_STEP_NUM_TASKS", "2")];
        assert_eq!(launch(&pmix), Some((1, Some(2), None)));
        let pmi2 = [
            ("SLURM_PROCID", "0"),
            ("SLURM_NTASKS", "2"),
            ("PMI_RANK", "0"),
            ("PMI_SIZE", "2"),
            ("PMI_FD", "5"),
        ];
        assert_eq!(launch(&pmi2), Some((0, Some(2), None)));
        let older = [("SLURM_PROCID", "1"), ("SLURM_NTASKS", "2"), ("PMI_FD", "5")];
        assert_eq!(launch(&older), Some((1, Some(2), None)));
    }

    #[test]
    fn a_batch_script_and_a_plain_step_are_no_job() {
        assert_eq!(launch(&[("SLURM_PROCID", "0"), ("SLURM_NTASKS", "8")]), None);
        assert_eq!(launch(&[]), None);
    }

    #[test]
    fn nonsense_is_no_job() {
        assert_eq!(launch(&[("PMI_RANK", "3"), ("PMI_SIZE", "3")]), None);
        assert_eq!(launch(&[("PMI_RANK", "first"), ("PMI_SIZE", "3")]), None);
    }

    #[test]
    fn whom_it_does_not_concern_is_no_rank() {
        let job = [("PMI_RANK", "1"), ("PMI_SIZE", "3"), ("PMI_FD", "9")];
        assert_eq!(launch(&[&job[..], &[(MARK, "early")]].concat()), None);
        assert_eq!(launch(&[&job[..], &[(SWITCH, "off")]].concat()), None);
        let inherited = identity_of(|name| {
            job.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value))
        });
        let inherited = inherited.to_str().expect("text");
        assert_eq!(launch(&[&job[..], &[(INHERITED, inherited)]].concat()), None);
        // One of another job that was started from within.
        assert!(launch(&[&job[..], &[(INHERITED, "1,2,3")]].concat()).is_some());
    }

    #[test]
    fn a_spawned_process_is_one_whatever_else_is_said() {
        let nothing = launch_of(|_| None, true).expect("spawned");
        assert!(nothing.is_worker());
        assert_eq!(launch_of(|name| (name == MARK).then(|| "early".into()), true), None);
    }

    #[test]
    fn what_launchers_set_is_known_and_what_users_set_is_left() {
        for name in
            ["OMPI_COMM_WORLD_RANK", "PMI_FD", "PMIX_RANK", "MPI_LOCALRANKID", "OMPI_MCA_ess_base_vpid"]
        {
            assert!(of_launcher(OsStr::new(name)), "{name}");
        }
        for name in ["OMPI_MCA_btl", "OMPI_ALLOW_RUN_AS_ROOT", "PATH", "SLURM_PROCID", "POLYPOOL_MPI"] {
            assert!(!of_launcher(OsStr::new(name)), "{name}");
        }
    }
}
