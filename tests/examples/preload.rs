//! A table that is there once, however many have it.

use crate::ground::{example, explains, printed, refuses};

/// The numbers of a line, in order.
fn numbers(line: &str) -> Vec<f64> {
    let words = line.split(|c: char| !c.is_ascii_digit());
    words.filter(|word| !word.is_empty()).map(|word| word.parse().unwrap()).collect()
}

#[test]
fn the_table_is_loaded_once_and_shared() {
    const MIB: f64 = 64.0;
    for workers in [1, 4] {
        let text = printed(example("preload").args(["--mib", "64", "-n", &workers.to_string()]));
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), workers + 1, "{text}");
        let mut loaders = Vec::new();
        for line in &lines[..workers] {
            let [pid, loader, resident, share] = numbers(line)[..] else { panic!("{line}") };
            assert_ne!(pid, loader);
            loaders.push(loader);
            // All of the table is there; of what it costs, everybody has a part, and so has the server.
            assert!(resident >= MIB && share <= 0.75 * resident, "{line}");
        }
        assert!(loaders.iter().all(|loader| *loader == loaders[0]), "{text}");
        let [n, mib, together] = numbers(lines[workers])[..] else { panic!("{text}") };
        assert_eq!((n, mib), (workers as f64, MIB));
        // Far from `n` times the table; what else a worker has is a few MiB.
        assert!(together < 2.0 * MIB, "{text}");
    }
}

#[test]
fn it_explains_itself_and_refuses_nonsense() {
    explains("preload", &["--mib", "-n, --n-workers"]);
    refuses("preload", &["-n", "0"], "preload: max_workers is 0");
    refuses("preload", &["--mib", "0"], "0 is not in 1..=65536");
    refuses("preload", &["--mib", "much"], "invalid digit");
}
