//! How glibc's malloc treats the memory of streams.
//!
//! What a stream holds was allocated by threads that come and go with it, and lies between what others hold. Left alone,
//! a process whose cameras fail every now and then grows for hours without holding more: the free space inside malloc's
//! arenas does (docs/PERFORMANCE.md).

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Blocks of this size and more are mapped on their own, and given back when freed. A 360p frame is larger.
const MAPPED_FROM: libc::c_int = 256 * 1024;
/// Giving back takes a millisecond with twelve cameras, and all cameras of a site may go at the same time.
const PAUSE: Duration = Duration::from_secs(1);

static GIVEN_BACK: Mutex<Option<Instant>> = Mutex::new(None);

/// To be called before other threads start: arenas that are there stay.
pub(super) fn set_up() {
    keep_frames_apart();
    share_arenas();
}

/// Keeps frames out of malloc's arenas. By default glibc raises its threshold as soon as a frame is freed, and from
/// then on frames of all streams lie in the arenas of whatever thread made them, with holes between: 1.5 to 2.5 MiB
/// more a camera (`scripts/bench-memory.sh`). Decoders reuse their frames, so mapping them costs nothing that can be
/// measured.
fn keep_frames_apart() {
    // Sets one number in malloc's own settings, which glibc guards by a lock. Failing, it changes nothing.
    #[cfg(target_env = "gnu")]
    #[allow(unsafe_code, reason = "there is no safe way to set a malloc parameter at run time")]
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_FROM);
    }
}

/// One arena for each core, as so many threads run at a time. By default there are eight, and each grows to the most
/// that was ever needed in it.
fn share_arenas() {
    // As above.
    #[cfg(target_env = "gnu")]
    #[allow(unsafe_code, reason = "there is no safe way to set a malloc parameter at run time")]
    unsafe {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        libc::mallopt(libc::M_ARENA_MAX, libc::c_int::try_from(cores).unwrap_or(libc::c_int::MAX));
    }
}

/// Gives the free pages inside malloc's arenas back to the system when it is dropped, if that was not just done: by
/// itself malloc gives back only what is free at an arena's end.
pub(super) struct GiveBack;

impl Drop for GiveBack {
    fn drop(&mut self) {
        let mut last = GIVEN_BACK.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|at| at.elapsed() < PAUSE) {
            return;
        }
        // Touches only pages that malloc itself holds to be free, under its own locks.
        #[cfg(target_env = "gnu")]
        #[allow(unsafe_code, reason = "there is no safe way to trim malloc's arenas")]
        unsafe {
            libc::malloc_trim(0);
        }
        *last = Some(Instant::now());
    }
}

#[cfg(all(test, target_env = "gnu"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    /// Resident, bytes.
    fn resident() -> usize {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().split(' ').next().unwrap().parse::<usize>().unwrap() * 1024
    }

    #[test]
    fn what_is_free_between_what_is_held_goes_back_to_the_system() {
        let block = |_| vec![1_u8; 32 * 1024];
        let mut blocks: Vec<_> = (0..128 * MIB / (32 * 1024)).map(block).collect();
        let most = resident();
        let mut n = 0;
        blocks.retain(|_| {
            n += 1;
            n % 8 == 0
        });
        // Another test may have given back just before.
        let deadline = Instant::now() + Duration::from_secs(30);
        while resident() > most - 64 * MIB {
            assert!(Instant::now() < deadline, "{} of {most} bytes stay", resident());
            drop(GiveBack);
            std::thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(blocks.len(), 128 * MIB / (32 * 1024) / 8);
    }
}
