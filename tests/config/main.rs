//! Settings from files, the environment and the command line, and the pools that they come to.
#![cfg(feature = "config")]

#[cfg(feature = "clap")]
mod args;
mod bad_input;
mod places;
mod pools;
mod random;
mod structures;
mod who_wins;

use std::ffi::OsString;

use polypool::config::{ConfigError, PoolConfig};

#[cfg(all(feature = "processes", target_os = "linux"))]
polypool::worker_main!();

/// What a file says.
fn file(text: &str) -> Result<PoolConfig, ConfigError> {
    PoolConfig::new().toml_str(text, "app.toml")
}

/// What a table `[parallel]` says, from line 2.
fn table(text: &str) -> Result<PoolConfig, ConfigError> {
    file(&format!("[parallel]\n{text}"))
}

fn variables(variables: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    variables.iter().map(|(name, value)| (name.into(), value.into())).collect()
}

fn environment(pairs: &[(&str, &str)]) -> Result<PoolConfig, ConfigError> {
    PoolConfig::new().environment_from(variables(pairs))
}

/// The lines of the list that are in effect.
fn shown(config: &PoolConfig) -> Vec<String> {
    config.to_string().lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

#[track_caller]
fn assert_error<T>(result: Result<T, ConfigError>, text: &str) {
    match result {
        Ok(_) => panic!("taken, instead of: {text}"),
        Err(error) => assert_eq!(error.to_string(), text),
    }
}
