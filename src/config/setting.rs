//! What a program may give as a setting's value. Owns the conversions from Rust's types, and no meaning.

use std::time::Duration;

use super::value::Raw;
use crate::policy::CancellationPolicy;

/// A value that a program gives for a setting; see [`PoolConfig::set`](super::PoolConfig::set).
///
/// # Examples
/// ```
/// use polypool::config::{PoolConfig, Setting};
/// use std::time::Duration;
///
/// let limit: Setting = Duration::from_secs(90).into();
/// let config = PoolConfig::new().set("task_timeout", limit)?;
/// assert!(config.to_string().contains(r#"task_timeout = "1m 30s""#));
/// # Ok::<(), polypool::config::ConfigError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Setting(pub(super) Raw);

impl From<bool> for Setting {
    fn from(flag: bool) -> Self {
        Self(Raw::Flag(flag))
    }
}

impl From<i32> for Setting {
    fn from(n: i32) -> Self {
        Self(Raw::Integer(n.into()))
    }
}

impl From<i64> for Setting {
    fn from(n: i64) -> Self {
        Self(Raw::Integer(n.into()))
    }
}

impl From<u32> for Setting {
    fn from(n: u32) -> Self {
        Self(Raw::Integer(n.into()))
    }
}

impl From<u64> for Setting {
    fn from(n: u64) -> Self {
        Self(Raw::Integer(n.into()))
    }
}

impl From<usize> for Setting {
    fn from(n: usize) -> Self {
        Self(Raw::Integer(n as i128))
    }
}

impl From<f64> for Setting {
    fn from(n: f64) -> Self {
        Self(Raw::Float(n))
    }
}

impl From<&str> for Setting {
    fn from(text: &str) -> Self {
        Self(Raw::Text(text.to_owned()))
    }
}

impl From<String> for Setting {
    fn from(text: String) -> Self {
        Self(Raw::Text(text))
    }
}

impl From<Duration> for Setting {
    fn from(time: Duration) -> Self {
        Self(time.into())
    }
}

impl From<CancellationPolicy> for Setting {
    fn from(policy: CancellationPolicy) -> Self {
        Self(Raw::Text(policy.to_string()))
    }
}
