//! Settings that nobody meant, in a file, in the environment and in a structure. A first line that begins with `table ` names where in
//! the file they are; lines after one that says `environment` are variables. Whatever is taken is shown, and read again as the same.
#![no_main]

use polypool::config::PoolConfig;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let text = String::from_utf8_lossy(input);
    let (file, variables) = text.split_once("\nenvironment\n").unwrap_or((&text, ""));
    let named = file.strip_prefix("table ").and_then(|rest| rest.split_once('\n'));
    let (config, file) = match named {
        Some((name, file)) => (PoolConfig::new().table(name), file),
        None => (PoolConfig::new(), file),
    };
    let variables = variables.lines().filter_map(|line| line.split_once('='));
    let variables = variables.map(|(name, value)| (format!("POLYPOOL_{name}").into(), value.into()));
    let config = config.toml_str(file, "fuzz.toml").and_then(|config| config.environment_from(variables));
    let config = match config {
        Ok(config) => config,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let again = read(&read(&config));
    assert_eq!(read(&again).to_string(), again.to_string());
    drop(config.builder());
});

/// What the list of settings means in a file.
fn read(config: &PoolConfig) -> PoolConfig {
    let list = config.to_string();
    PoolConfig::new().toml_str(&format!("[parallel]\n{list}"), "again.toml").expect(&list)
}
