//! What the engines beyond this machine share. Owns the bridge to engines that speak Python; knows no engine by name.

pub(crate) mod bridge;
