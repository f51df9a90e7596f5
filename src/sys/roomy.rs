//! Room for much data. Owns how a large vector is had without a page fault for each few bytes of it.

/// From this size on, the effort pays.
const LARGE: usize = 4 << 20;

/// An empty vector with room for so many bytes. A large one is in large pages where the system has them, so that filling it for
/// the first time is not mostly the system's work.
///
/// # Errors
///
/// When there is not so much memory.
#[allow(unsafe_code, reason = "the room for it")]
pub(crate) fn roomy(len: usize) -> Result<Vec<u8>, std::collections::TryReserveError> {
    let mut bytes: Vec<u8> = Vec::new();
    bytes.try_reserve_exact(len)?;
    if len >= LARGE {
        const PAGE: usize = 2 << 20;
        let start = bytes.as_mut_ptr().addr().next_multiple_of(PAGE) - bytes.as_mut_ptr().addr();
        let whole = bytes.capacity().saturating_sub(start) / PAGE * PAGE;
        if whole > 0 {
            // SAFETY: the range is inside the vector's allocation: it begins behind its start and ends before its end. The advice
            // changes by what pages it is backed, and nothing of what is in it.
            let from = unsafe { bytes.as_mut_ptr().add(start) };
            // SAFETY: as above.
            let _ = unsafe { rustix::mm::madvise(from.cast(), whole, rustix::mm::Advice::LinuxHugepage) };
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_what_was_asked_and_nothing_in_it() {
        for len in [0, 1, LARGE - 1, LARGE, LARGE + 12_345, 64 << 20] {
            let mut bytes = roomy(len).expect("memory");
            assert!(bytes.is_empty() && bytes.capacity() >= len);
            bytes.resize(len, 7);
            assert!(bytes.iter().all(|byte| *byte == 7));
        }
        assert!(roomy(usize::MAX / 2 - 1).is_err());
    }
}
