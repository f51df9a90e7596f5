//! The format against the crate `postcard`'s, and what cannot be encoded or decoded.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Debug,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, ser::SerializeSeq};

use super::*;

fn encoded<T: Serialize>(value: &T) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    encode_into(value, &mut out).map(|()| out).map_err(|error| error.to_string())
}

fn refused<T: DeserializeOwned>(bytes: &[u8]) -> String {
    decode::<T>(bytes).err().expect("an error").to_string()
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct All {
    ints: (i8, i16, i32, i64, i128, isize),
    nats: (u8, u16, u32, u64, u128, usize),
    reals: [f64; 2],
    half: f32,
    yes: bool,
    letter: char,
    text: String,
    list: Vec<Option<Box<All>>>,
    map: BTreeMap<String, Kind>,
    unit: (),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Kind {
    Unit,
    New(u16),
    Tuple(u8, String),
    Struct { a: i32, b: Nothing },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Nothing;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "t", content = "c")]
enum Adjacent {
    One(u8),
    Two(String, u8),
}

#[track_caller]
fn like_postcard<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    let bytes = encoded(value).expect("can be encoded");
    assert_eq!(bytes, postcard::to_stdvec(value).expect("can be encoded"));
    assert_eq!(&decode::<T>(&bytes).expect("can be decoded"), value);
    for cut in (0..bytes.len()).step_by(if cfg!(miri) { 97 } else { 1 }) {
        assert!(decode::<T>(&bytes[..cut]).is_err(), "{cut} of {bytes:?}");
    }
}

#[test]
fn everything_that_postcard_knows() {
    let small = All {
        ints: (-1, -2, -3, -4, -5, -6),
        nats: (1, 2, 3, 4, 5, 6),
        reals: [0.5, f64::MIN],
        half: 1.5,
        yes: true,
        letter: 'ß',
        text: "text".repeat(100),
        list: vec![None],
        map: BTreeMap::from([
            ("a".to_owned(), Kind::Unit),
            ("b".to_owned(), Kind::New(300)),
            ("c".to_owned(), Kind::Tuple(1, String::new())),
            ("d".to_owned(), Kind::Struct { a: -70_000, b: Nothing }),
        ]),
        unit: (),
    };
    let large = All {
        ints: (i8::MIN, i16::MIN, i32::MIN, i64::MIN, i128::MIN, isize::MIN),
        nats: (u8::MAX, u16::MAX, u32::MAX, u64::MAX, u128::MAX, usize::MAX),
        yes: false,
        list: vec![Some(Box::new(small.clone())), None],
        ..small.clone()
    };
    like_postcard(&small);
    like_postcard(&large);
    like_postcard(&Adjacent::One(7));
    like_postcard(&Adjacent::Two("x".to_owned(), 7));
    like_postcard(&(i128::MAX, i64::MAX, i16::MAX));
    like_postcard(&TaskErrorLike(vec![Err("no".to_owned()), Ok(1)]));
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct TaskErrorLike(Vec<Result<u8, String>>);

#[test]
fn a_sequence_of_unknown_length() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Evens(Vec<u32>);
    impl Serialize for Evens {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut seq = serializer.serialize_seq(None)?;
            self.0.iter().try_for_each(|n| seq.serialize_element(n))?;
            seq.end()
        }
    }
    for n in [0, 1, 127, 128, 1_000] {
        let evens = vec![Evens((0..n).collect()), Evens(vec![1])];
        let bytes = encoded(&evens).expect("can be encoded");
        assert_eq!(decode::<Vec<Evens>>(&bytes).expect("can be decoded"), evens);
    }
}

#[test]
fn numbers_out_of_range_and_texts_that_are_none() {
    assert!(refused::<u16>(&[0xff, 0xff, 4]).contains("out of its range"));
    assert!(refused::<u64>(&[0xff; 20]).contains("out of its range"));
    assert!(refused::<u128>(&[0xff; 20]).contains("out of its range"));
    assert!(refused::<i8>(&[]).contains("ends too early"));
    assert!(refused::<bool>(&[2]).contains("out of its range"));
    assert!(refused::<Option<u8>>(&[2, 0]).contains("out of its range"));
    assert!(refused::<(String,)>(&[1, 0xff]).contains("utf-8"));
    assert!(refused::<char>(&[2, b'a', b'b']).contains("character"));
    assert!(refused::<Kind>(&[9]).contains("variant"));
}

#[test]
fn what_is_left_over_is_an_error() {
    assert_eq!(
        refused::<u8>(&[1, 2]),
        "the argument or result cannot be decoded: `u8`: 1 bytes are left over; its `Deserialize` does not read what its \
         `Serialize` wrote"
    );
}

#[test]
fn hostile_lengths_allocate_nothing_and_take_no_time() {
    let mut huge = Vec::new();
    ser::put_length(usize::MAX, &mut huge);
    assert!(refused::<Vec<u64>>(&huge).contains("too early"));
    assert!(refused::<(String,)>(&huge).contains("too early"));
    assert!(refused::<HashMap<u8, u8>>(&huge).contains("too early"));
    assert!(refused::<Vec<()>>(&huge).contains("too early"));
    let mut large = Vec::new();
    ser::put_length(u32::MAX as usize, &mut large);
    assert!(refused::<Vec<[u64; 32]>>(&large).contains("too early"));
}

#[test]
fn the_words_of_a_failing_impl_are_kept() {
    #[derive(Debug)]
    struct Mute;
    impl Serialize for Mute {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("the lock is poisoned"))
        }
    }
    impl<'de> Deserialize<'de> for Mute {
        fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            Err(serde::de::Error::custom("no such country"))
        }
    }
    let error = encoded(&Some(Mute)).expect_err("fails");
    assert!(error.contains("Mute") && error.contains("the lock is poisoned"), "{error}");
    let error = refused::<Vec<Mute>>(&[1]);
    assert!(error.contains("Mute") && error.contains("no such country"), "{error}");
}

#[test]
fn a_panicking_impl_is_an_error() {
    #[derive(Debug)]
    struct Mine;
    impl Serialize for Mine {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            panic!("stepped on")
        }
    }
    impl<'de> Deserialize<'de> for Mine {
        fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            panic!("stepped on")
        }
    }
    let mut out = vec![7];
    let error = encode_into(&(1_u8, Mine), &mut out).expect_err("fails").to_string();
    assert!(error.contains("`Serialize` panicked: stepped on"), "{error}");
    assert_eq!(out, [7]);
    let error = refused::<Mine>(&[]);
    assert!(error.contains("`Deserialize` panicked: stepped on"), "{error}");
}

#[test]
fn what_the_format_cannot_carry_is_said_with_a_remedy() {
    #[derive(Debug, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Untagged {
        A(u8),
    }
    #[derive(Debug, Serialize, Deserialize)]
    #[serde(tag = "t")]
    enum Internal {
        A { x: u8 },
    }
    #[derive(Debug, Serialize, Deserialize)]
    struct Outer {
        a: u8,
        #[serde(flatten)]
        rest: BTreeMap<String, u8>,
    }
    #[derive(Debug, Serialize, Deserialize)]
    struct Sparse {
        #[serde(skip_serializing_if = "Option::is_none")]
        a: Option<u8>,
        b: u8,
    }
    let remedy = "serde_json::to_string";
    assert!(refused::<Untagged>(&encoded(&Untagged::A(1)).expect("can be encoded")).contains(remedy));
    assert!(refused::<Internal>(&encoded(&Internal::A { x: 1 }).expect("can be encoded")).contains(remedy));
    let outer = Outer { a: 1, rest: BTreeMap::from([("b".to_owned(), 2)]) };
    assert!(refused::<Outer>(&encoded(&outer).expect("can be encoded")).contains(remedy));
    let error = encoded(&Sparse { a: None, b: 1 }).expect_err("cannot");
    assert!(error.contains("the field `a`") && error.contains(remedy), "{error}");
    assert_eq!(encoded(&Sparse { a: Some(1), b: 1 }), Ok(vec![1, 1, 1]));
}

#[test]
fn bytes_are_their_own_encoding() {
    let bytes = vec![1_u8; 1 << 20];
    let place = bytes.as_ptr();
    let mut out = Vec::new();
    pack_into(bytes, &mut out).expect("bytes");
    assert_eq!(out.as_ptr(), place);
    let bytes: Vec<u8> = unpack(out).expect("bytes");
    assert_eq!(bytes.as_ptr(), place);
    assert_eq!(unpack_from::<Vec<u8>>(&bytes).expect("bytes"), bytes);

    let mut out = Vec::new();
    pack_into("größe".to_owned(), &mut out).expect("text");
    assert_eq!(out, "größe".as_bytes());
    assert_eq!(unpack_from::<String>(&out).expect("text"), "größe");
    assert!(unpack_from::<String>(&[0xff]).expect_err("no text").to_string().contains("String"));
    assert!(unpack::<String>(vec![0xff]).is_err());
    assert!(unpack_from::<()>(&[]).is_ok());
    assert!(unpack_from::<()>(&[0]).is_err());
}

#[test]
fn parts_of_all_lengths() {
    // Two million elements one by one take Miri minutes, and are no other case.
    let longest = if cfg!(miri) { 1 << 14 } else { 1 << 21 };
    for length in [0, 1, 127, 128, 1 << 14, longest] {
        let mut out = vec![9];
        let (list, bytes) = (vec![-1_i8; length], vec![7_u8; length]);
        pack_part(list.clone(), &mut out).expect("fits");
        pack_part(bytes.clone(), &mut out).expect("fits");
        let mut rest = &out[1..];
        let part = take_part(&mut rest).expect("is there");
        assert_eq!(unpack_from::<Vec<i8>>(part).expect("is there"), list);
        assert_eq!(take_part(&mut rest), Some(&bytes[..]));
        assert_eq!(take_part(&mut rest), None);
    }
}
