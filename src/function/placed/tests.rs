//! Placed data in one process.

use std::{
    sync::{Arc, Mutex},
    thread,
};

use super::{
    registry::{self, is_listed},
    *,
};
use crate::{
    function::{Packed, open, pack, pack_here, unpack},
    sys::lock::lock,
};

fn id_of(packed: &Packed) -> Id {
    packed.names.first().expect("it names something").id()
}

fn there_and_back<T: crate::Portable>(value: T) -> Result<T, TaskError> {
    let Packed { bytes, names } = pack(value)?;
    open(bytes.to_vec(), names)
}

#[test]
fn a_value_comes_back_as_itself() {
    let value = Scattered::new(vec![1, 2, 3]);
    let back = there_and_back((value.clone(), 4)).expect("decoded");
    assert!(std::ptr::eq(&*back.0, &*value) && back.1 == 4);
    let here = pack_here(value.clone()).expect("encoded");
    let id = id_of(&here);
    assert!(is_listed(id));
    let again: Scattered<Vec<i32>> = unpack(&here.bytes).expect("decoded");
    assert!(std::ptr::eq(&*again, &*value));
    drop((value, back, again));
    assert!(is_listed(id));
    drop(here);
    assert!(!is_listed(id));
}

#[test]
fn a_value_that_is_gone_is_decoded_from_what_is_left() {
    let packed = pack(Scattered::new("text".to_owned())).expect("encoded");
    let id = id_of(&packed);
    // The value went with its handle, and its encoding is there.
    for _ in 0..2 {
        let value: Scattered<String> = unpack(&packed.bytes).expect("decoded");
        assert_eq!(&*value, "text");
        assert_eq!(there_and_back(value.clone()).expect("decoded").as_ptr(), value.as_ptr());
    }
    let bytes = packed.bytes.behind(0);
    drop(packed);
    assert!(!is_listed(id));
    let gone = unpack::<Scattered<String>>(&bytes).expect_err("gone");
    assert!(gone.to_string().contains("not there any more"), "{gone}");
    assert!(!is_listed(id));
}

#[test]
fn a_slice_comes_back_as_itself() {
    let slice = SharedSlice::from(vec![1_u32, 2, 3]);
    let packed = pack(slice.clone()).expect("encoded");
    let back: SharedSlice<u32> = unpack(&packed.bytes).expect("decoded");
    assert_eq!((back.as_ptr(), back.len()), (slice.as_ptr(), 3));
    drop((slice, back));
    let left: SharedSlice<u32> = unpack(&packed.bytes).expect("decoded");
    assert_eq!(left[..], [1, 2, 3]);
    assert_eq!(there_and_back(left.clone()).expect("decoded").as_ptr(), left.as_ptr());
    let (id, shown) = (id_of(&packed), format!("{left:?}"));
    assert!(shown.starts_with("SharedSlice<u32>(") && shown.ends_with("3 elements)"), "{shown}");
    drop((packed, left));
    assert!(!is_listed(id));
}

#[test]
fn a_slice_that_is_filled_is_there_at_once() {
    let slice = SharedSlice::filled(4, |slots: &mut [u16]| slots[3] = 9).expect("made");
    assert_eq!(slice.as_ref(), [0, 0, 0, 9]);
    assert_eq!(there_and_back(slice.clone()).expect("decoded").as_ptr(), slice.as_ptr());
    let too_long = SharedSlice::<u64>::filled(usize::MAX / 4, |_| unreachable!("there is no room"));
    assert!(matches!(too_long, Err(TaskError::Encode(_))));
    let placed = SharedSlice::placed(vec![5_u8; 10]).expect("placed");
    assert_eq!((&placed).into_iter().filter(|n| **n == 5).count(), 10);
}

#[test]
fn marks_of_someone_out_of_their_mind() {
    let slice = SharedSlice::from(vec![1_u32, 2, 3]);
    let packed = pack(slice).expect("encoded");
    // The length comes first.
    let mut longer = packed.bytes.to_vec();
    longer[0] = 4;
    let error = unpack::<SharedSlice<u32>>(&longer).expect_err("refused");
    assert!(error.to_string().contains("3 elements, and should have 4"), "{error}");
    assert!(unpack::<SharedSlice<u32>>(&[5, 0]).is_err());
    assert!(unpack::<SharedSlice<()>>(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0]).is_ok());
    assert!(unpack::<SharedSlice<u32>>(&[]).is_err());
}

struct Remembering(Mutex<Vec<Id>>);

impl Holder for Remembering {
    fn forget(self: Arc<Self>, parcel: &Parcel) {
        lock(&self.0).push(parcel.id());
    }
}

#[test]
fn who_was_given_it_is_told_when_it_goes() {
    let holders = [(); 2].map(|()| Arc::new(Remembering(Mutex::default())));
    let packed = pack(Scattered::new(1)).expect("encoded");
    let id = id_of(&packed);
    for parcel in parcels(&packed.names) {
        for holder in &holders {
            let holder: Arc<dyn Holder> = Arc::<Remembering>::clone(holder);
            parcel.given_to(Arc::downgrade(&holder));
        }
    }
    drop(packed);
    assert!(holders.iter().all(|holder| *lock(&holder.0) == [id]));
}

#[test]
fn many_threads_make_and_find_and_drop() {
    let threads = (0..4).map(|_| {
        thread::spawn(|| {
            for n in 0..200_u64 {
                let value = Scattered::new(vec![n; 10]);
                let packed = pack((value, SharedSlice::from(vec![n]))).expect("encoded");
                let (value, slice): (Scattered<Vec<u64>>, SharedSlice<u64>) =
                    unpack(&packed.bytes).expect("decoded");
                assert_eq!((value[9], slice[0]), (n, n));
            }
        })
    });
    for thread in threads.collect::<Vec<_>>() {
        thread.join().expect("no panic");
    }
}

#[test]
fn what_is_kept_is_decoded_once_until_it_is_forgotten() {
    let parcel = |id| {
        let sealed = Sealed::copy_of("polypool-test", &[7]).expect("a file");
        Parcel::bare(id, Kind::Value, "u64", sealed, Names::new())
    };
    let id = Id::fresh();
    registry::keep(parcel(id));
    registry::keep(parcel(id));
    let bytes = pack(id).expect("encoded").bytes;
    let decode = || unpack::<Scattered<u64>>(&bytes);
    let at = |value: &Scattered<u64>| std::ptr::from_ref(&**value);
    let first = at(&decode().expect("decoded"));
    assert_eq!(at(&decode().expect("decoded")), first);
    let held = decode().expect("decoded");
    let kept = registry::forget(id).expect("it was kept");
    assert!(kept.value.is_some());
    drop(kept);
    assert_eq!((at(&decode().expect("decoded")), *held), (first, 7));
    drop(held);
    assert!(!is_listed(id) && decode().is_err() && registry::forget(id).is_none());
    registry::refuse(id, "it is lost".to_owned());
    assert!(decode().expect_err("refused").to_string().contains("it is lost"));
    registry::forget(id);
    assert!(!is_listed(id));
}
