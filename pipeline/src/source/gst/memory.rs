//! How glibc's malloc treats the memory of frames.

/// Blocks of this size and more are mapped on their own, and given back when freed. A 360p frame is larger.
const MAPPED_FROM: libc::c_int = 256 * 1024;

/// Keeps frames out of malloc's arenas. By default glibc raises its threshold as soon as a frame is freed, and from
/// then on frames of all streams lie in the arenas of whatever thread made them, with holes between: 1.5 to 2.5 MiB
/// more a camera (`scripts/bench-memory.sh`). Decoders reuse their frames, so mapping them costs nothing that can be
/// measured.
pub(super) fn keep_frames_apart() {
    // Sets one number in malloc's own settings, which glibc guards by a lock. Failing, it changes nothing.
    #[cfg(target_env = "gnu")]
    #[allow(unsafe_code, reason = "there is no safe way to set a malloc parameter at run time")]
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_FROM);
    }
}
