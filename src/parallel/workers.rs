//! How many workers a pool has where its user does not say. Owns which environment variables count, and what they may be.

use std::{
    env,
    ffi::{OsStr, OsString},
};

use crate::{cpu::cpu_count, error::BuildError, executor::check_workers};

/// The variable that says how many workers there are in pools for which nobody says it.
pub(crate) const OWN: &str = "POLYPOOL_NUM_WORKERS";

/// Reads `POLYPOOL_NUM_WORKERS`, then `OMP_NUM_THREADS`, then counts the CPUs; afresh at each call.
pub(crate) fn default_workers() -> Result<usize, BuildError> {
    chosen(|name| env::var_os(name)).unwrap_or_else(|| Ok(cpu_count()))
}

/// Reads a value of [`OWN`], from whatever environment.
pub(crate) fn own_workers(value: &OsStr) -> Result<usize, BuildError> {
    read(OWN, &value.to_string_lossy(), None)
}

fn chosen(variable: impl Fn(&str) -> Option<OsString>) -> Option<Result<usize, BuildError>> {
    const OPEN_MP: &str = "OMP_NUM_THREADS";
    let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
    variable(OWN).map(|value| own_workers(&value)).or_else(|| {
        let value = variable(OPEN_MP)?;
        let text = value.to_string_lossy();
        // OpenMP has one number for each level of nesting.
        Some(read(OPEN_MP, &text, text.split_once(',').map(|(first, _)| first)))
    })
}

/// Reads a value, or the `part` of it that counts.
fn read(name: &str, value: &str, part: Option<&str>) -> Result<usize, BuildError> {
    let number = part.unwrap_or(value).trim().parse().ok();
    number.filter(|n| check_workers(*n).is_ok()).ok_or_else(|| {
        BuildError::OutOfRange(format!(
            "{name} is `{value}`; it must be a number of workers from 1 to 1048576, or not be set"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)]) -> Option<Result<usize, String>> {
        let find = |name: &str| variables.iter().find(|(set, _)| *set == name).map(|(_, value)| value.into());
        chosen(find).map(|read| read.map_err(|error| error.to_string()))
    }

    #[test]
    fn our_own_variable_goes_before_that_of_openmp() {
        assert_eq!(with(&[]), None);
        assert_eq!(with(&[("OMP_NUM_THREADS", "6"), ("POLYPOOL_NUM_WORKERS", " 3 ")]), Some(Ok(3)));
        assert_eq!(with(&[("OMP_NUM_THREADS", "x"), ("POLYPOOL_NUM_WORKERS", "3")]), Some(Ok(3)));
        assert_eq!(with(&[("OMP_NUM_THREADS", "6")]), Some(Ok(6)));
    }

    #[test]
    fn a_variable_that_is_empty_is_as_one_that_is_not_set() {
        assert_eq!(with(&[("OMP_NUM_THREADS", ""), ("POLYPOOL_NUM_WORKERS", "")]), None);
        assert_eq!(with(&[("OMP_NUM_THREADS", "6"), ("POLYPOOL_NUM_WORKERS", "")]), Some(Ok(6)));
    }

    #[test]
    fn the_first_of_a_list_counts_for_openmp_alone() {
        assert_eq!(with(&[("OMP_NUM_THREADS", "4, 2")]), Some(Ok(4)));
        assert!(with(&[("POLYPOOL_NUM_WORKERS", "4,2")]).is_some_and(|read| read.is_err()));
        assert!(with(&[("OMP_NUM_THREADS", ",2")]).is_some_and(|read| read.is_err()));
    }

    #[test]
    fn nonsense_is_named_with_its_variable() {
        for value in ["0", "-1", " ", "auto", "four", "3.5", "99999999999999999999", "1048577"] {
            for name in ["POLYPOOL_NUM_WORKERS", "OMP_NUM_THREADS"] {
                assert_eq!(
                    with(&[(name, value)]),
                    Some(Err(format!(
                        "{name} is `{value}`; it must be a number of workers from 1 to 1048576, or not be set"
                    )))
                );
            }
        }
    }
}
