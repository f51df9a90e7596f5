//! Settings as part of a program's own structures: read and written by serde. Owns neither keys nor values.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor},
    ser::SerializeMap as _,
};

use super::{
    Found, PoolConfig,
    key::{Key, find, instead_of},
    place::Place,
    read,
    value::Raw,
};

impl Serialize for PoolConfig {
    /// Writes what is in effect; where it came from is forgotten. In a format that does not describe itself it is the text of a TOML
    /// table.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let settled = self.settle();
        let shown = settled.shown();
        if !serializer.is_human_readable() {
            let lines: Vec<_> =
                shown.iter().map(|(key, value, _)| format!("{} = {value}\n", key.name)).collect();
            return serializer.collect_str(&lines.concat());
        }
        let mut map = serializer.serialize_map(Some(shown.len()))?;
        for (key, value, _) in &shown {
            map.serialize_entry(key.name, &value.raw())?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for PoolConfig {
    /// Reads a table of settings. Unknown keys are refused.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            let mut config = Self::new()
                .toml_str(&format!("[parallel]\n{text}"), "the configuration")
                .map_err(D::Error::custom)?;
            config.entries.iter_mut().for_each(|entry| entry.place = Place::Embedded);
            return Ok(config);
        }
        deserializer.deserialize_map(Settings)
    }
}

struct Settings;

impl<'de> Visitor<'de> for Settings {
    type Value = PoolConfig;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of settings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<PoolConfig, A::Error> {
        let mut found: Vec<Found> = Vec::new();
        while let Some(Known(key)) = map.next_key()? {
            if found.iter().any(|before| before.key == key) {
                return Err(A::Error::custom(format_args!("{} is set twice; keep one of them", key.name)));
            }
            found.push(map.next_value_seed(ValueOf(key))?);
        }
        PoolConfig::new().add(Ok(found)).map_err(A::Error::custom)
    }
}

/// Refused where it is read, so that a format which knows the line says it.
struct Known(&'static Key);

impl<'de> Deserialize<'de> for Known {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let unknown = || D::Error::custom(format_args!("unknown key {name:?}: {}", instead_of(&name)));
        find(&name).map(Self).ok_or_else(unknown)
    }
}

/// The same for its value.
struct ValueOf(&'static Key);

impl<'de> DeserializeSeed<'de> for ValueOf {
    type Value = Found;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Found, D::Error> {
        read(self.0, Raw::deserialize(deserializer)?, Place::Embedded).map_err(D::Error::custom)
    }
}

impl Serialize for Raw {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Flag(flag) => serializer.serialize_bool(*flag),
            // None of ours is too large for it.
            Self::Integer(n) => serializer.serialize_i64(i64::try_from(*n).unwrap_or(i64::MAX)),
            Self::Float(n) => serializer.serialize_f64(*n),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Table(table) => serializer.collect_map(table.iter().map(|(name, value)| (name, value))),
            Self::Other => serializer.serialize_unit(),
        }
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Anything)
    }
}

struct Anything;

impl<'de> Visitor<'de> for Anything {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a setting")
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Raw, E> {
        Ok(Raw::Flag(flag))
    }

    fn visit_i64<E>(self, n: i64) -> Result<Raw, E> {
        Ok(Raw::Integer(n.into()))
    }

    fn visit_u64<E>(self, n: u64) -> Result<Raw, E> {
        Ok(Raw::Integer(n.into()))
    }

    fn visit_f64<E>(self, n: f64) -> Result<Raw, E> {
        Ok(Raw::Float(n))
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Text(text.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Other)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Raw, A::Error> {
        while list.next_element::<serde::de::IgnoredAny>()?.is_some() {}
        Ok(Raw::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(Raw::Table(pairs))
    }
}
