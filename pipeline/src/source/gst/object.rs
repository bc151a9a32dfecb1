//! Objects of a bucket and files on web servers: read by ranges as the demuxer asks for them, never as a whole.
//!
//! `appsrc` is told the object's size and that it may be read anywhere; what it asks for is taken out of a few blocks that are
//! kept, and a block that is not there is fetched. So memory is flat whatever the object's length, and an index at its end costs
//! one more request.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;
use sightline_schema::ErrorCode;
use sightline_service::bucket_uri::BucketUri;
use sightline_service::objects::{Fault, Meta, Object, Reason, WebFault, WebFile, WebMeta, WebReason};

use super::decoder::Tap;
use super::{GstOptions, Shared, guarded, lock};
use crate::source::address::{Address, Kind};
use crate::source::container::{self, Missing};

/// Fetched at once. At 8 Mbit/s it is four seconds of video.
const BLOCK: u64 = 4 << 20;
/// Kept: sound and pictures may lie apart, and the index elsewhere.
const BLOCKS: usize = 4;
/// How often a reader looks whether anybody waits for it.
const LOOK: Duration = Duration::from_millis(50);

/// Told, or asked, when nobody waits for the object any more. All clones are one.
#[derive(Clone, Default)]
pub(super) struct Closing {
    told: Arc<AtomicBool>,
    asked: Option<Arc<dyn Fn() -> bool + Send + Sync>>,
}

impl Closing {
    /// Asked besides: while it is being opened there is nothing yet that could be closed.
    pub(super) fn when(is_over: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self { asked: Some(Arc::new(is_over)), ..Self::default() }
    }

    pub(super) fn close(&self) {
        self.told.store(true, Ordering::Release);
    }

    fn is_set(&self) -> bool {
        self.told.load(Ordering::Acquire) || self.asked.as_ref().is_some_and(|is_over| is_over())
    }
}

/// Why nothing comes.
enum Failed {
    Fault(Fault),
    Web(WebFault),
    Said(String),
    Closed,
}

/// Where it lies, and what is known of it once it was looked at.
enum Remote {
    Object(Object, Option<Meta>),
    Web(WebFile, Option<WebMeta>),
}

/// An object, and what of it is at hand.
struct Fetcher {
    remote: Remote,
    /// As it is said to people.
    shown: String,
    bytes: u64,
    runtime: tokio::runtime::Runtime,
    closing: Closing,
    /// The last used behind the others: where each begins, and its bytes.
    blocks: VecDeque<(u64, gst::Buffer)>,
    /// Where the demuxer reads next.
    at: u64,
}

/// An element that gives an object's bytes.
pub(super) fn source(
    options: &GstOptions,
    tap: &Tap,
    closing: &Closing,
    name: &str,
) -> Result<gst::Element, String> {
    let learned = tap.learned.clone();
    let fetcher = match Fetcher::open(&options.address, closing.clone()) {
        Ok(mut fetcher) => match fetcher.look().and_then(|()| fetcher.missing()) {
            Ok(missing) => {
                lock(&learned).cut_off = missing.is_some();
                Some(fetcher)
            }
            Err(failed) => {
                failed.tell(&learned, &fetcher.shown);
                None
            }
        },
        Err(why) => {
            Failed::Said(why).tell(&learned, &options.address.to_string());
            None
        }
    };
    let bytes = fetcher.as_ref().map_or(0, |fetcher| fetcher.bytes);
    let source = gst_app::AppSrc::builder()
        .name(name)
        .format(gst::Format::Bytes)
        .stream_type(gst_app::AppStreamType::RandomAccess)
        .size(i64::try_from(bytes).unwrap_or(i64::MAX))
        .is_live(false)
        .block(false)
        .max_bytes(BLOCK)
        .build();
    let fetcher = Arc::new(Mutex::new(fetcher));
    let callbacks = gst_app::AppSrcCallbacks::builder()
        .need_data({
            let (fetcher, learned) = (fetcher.clone(), learned.clone());
            move |source, length| {
                guarded(&learned, (), || {
                    let mut fetcher = fetcher.lock().unwrap_or_else(PoisonError::into_inner);
                    let Some(fetcher) = fetcher.as_mut() else {
                        let _ = source.end_of_stream();
                        return;
                    };
                    give(fetcher, source, u64::from(length), &learned);
                });
            }
        })
        .seek_data(move |_, to| {
            guarded(&learned, false, || {
                let mut fetcher = fetcher.lock().unwrap_or_else(PoisonError::into_inner);
                fetcher.as_mut().is_some_and(|fetcher| {
                    fetcher.at = to;
                    true
                })
            })
        })
        .build();
    source.set_callbacks(callbacks);
    Ok(source.upcast())
}

/// What the demuxer asks for, or the end where there is no more of it.
fn give(fetcher: &mut Fetcher, source: &gst_app::AppSrc, length: u64, learned: &Shared) {
    match fetcher.read(length) {
        // What comes of a pipeline that is being taken down is nobody's.
        Ok(Some(buffer)) => drop(source.push_buffer(buffer)),
        Ok(None) => drop(source.end_of_stream()),
        Err(failed) => {
            failed.tell(learned, &fetcher.shown);
            let _ = source.end_of_stream();
        }
    }
}

impl Fetcher {
    fn open(address: &Address, closing: Closing) -> Result<Self, String> {
        let remote = if address.kind() == Kind::WebFile {
            let file =
                WebFile::open(address.uri(), address.stands_for()).map_err(|error| error.to_string())?;
            Remote::Web(file.with_credentials(address.credentials().cloned()), None)
        } else {
            let parsed = BucketUri::parse(address.uri())
                .ok_or_else(|| "is no address of an object".to_owned())?
                .map_err(|error| error.to_string())?;
            Remote::Object(Object::open(&parsed).map_err(|error| error.to_string())?, None)
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| format!("nothing can be read here: {error}"))?;
        let blocks = VecDeque::with_capacity(BLOCKS + 1);
        Ok(Self { remote, shown: address.to_string(), bytes: 0, runtime, closing, blocks, at: 0 })
    }

    /// Asks how long it is, and which content it has.
    fn look(&mut self) -> Result<(), Failed> {
        let Self { remote, runtime, closing, .. } = self;
        self.bytes = match remote {
            Remote::Object(object, known) => {
                let meta = wait(runtime, closing, object.head(), Failed::Fault)?;
                known.insert(meta).bytes
            }
            Remote::Web(file, known) => {
                let meta = wait(runtime, closing, file.head(), Failed::Web)?;
                known.insert(meta).bytes
            }
        };
        Ok(())
    }

    /// What is missing of it. Looked at before it is read, and only in as many blocks as are kept: the demuxer begins with the same.
    /// A recording in many fragments may tell no more than that its beginning is there.
    fn missing(&mut self) -> Result<Option<Missing>, Failed> {
        let total = self.bytes;
        let mut failed = None;
        let missing = container::missing_in(total, &mut |at, into| match self.peek(at, into) {
            Ok(is_read) => is_read,
            Err(error) => {
                failed = Some(error);
                false
            }
        });
        match failed {
            Some(failed) => Err(failed),
            None => Ok(missing),
        }
    }

    /// A few bytes somewhere in it. `false`: they are not there, or in one block too many.
    fn peek(&mut self, at: u64, into: &mut [u8]) -> Result<bool, Failed> {
        let total = self.bytes;
        let end = at.saturating_add(into.len() as u64);
        if end > total {
            return Ok(false);
        }
        let mut from = at;
        while from < end {
            let start = from - from % BLOCK;
            if self.blocks.len() >= BLOCKS && !self.blocks.iter().any(|(of, _)| *of == start) {
                return Ok(false);
            }
            let block = self.block(start, total)?;
            let part = (from - at) as usize..(end.min(start + BLOCK) - at) as usize;
            let Some(into) = into.get_mut(part) else { return Ok(false) };
            if block.copy_to_slice((from - start) as usize, into).is_err() {
                return Ok(false);
            }
            from += into.len() as u64;
        }
        Ok(true)
    }

    /// The next bytes, `None` at the end.
    fn read(&mut self, length: u64) -> Result<Option<gst::Buffer>, Failed> {
        let total = self.bytes;
        if self.at >= total || length == 0 {
            return Ok(None);
        }
        let end = self.at.saturating_add(length).min(total);
        let mut whole: Option<gst::Buffer> = None;
        let from = self.at;
        while self.at < end {
            let start = self.at - self.at % BLOCK;
            let block = self.block(start, total)?;
            let held = start + block.size() as u64;
            let part = self.at..end.min(held);
            if part.is_empty() {
                let message = format!("ended at {held} bytes, and was {total} long before");
                return Err(Failed::Said(message));
            }
            let copied = region(&block, (part.start - start)..(part.end - start))?;
            match &mut whole {
                None => whole = Some(copied),
                Some(before) => before.append(copied),
            }
            self.at = part.end;
        }
        if let Some(buffer) = whole.as_mut().and_then(gst::Buffer::get_mut) {
            buffer.set_offset(from);
            buffer.set_offset_end(end);
        }
        Ok(whole)
    }

    fn block(&mut self, start: u64, total: u64) -> Result<gst::Buffer, Failed> {
        if let Some(at) = self.blocks.iter().position(|(of, _)| *of == start) {
            if let Some(block) = self.blocks.remove(at) {
                self.blocks.push_back(block);
            }
        } else {
            let range = start..start.saturating_add(BLOCK).min(total);
            let block = self.fetch(range)?;
            self.blocks.push_back((start, block));
            if self.blocks.len() > BLOCKS {
                self.blocks.pop_front();
            }
        }
        let missing = || Failed::Said("nothing was read".to_owned());
        self.blocks.back().map(|(_, block)| block.clone()).ok_or_else(missing)
    }

    fn fetch(&self, range: Range<u64>) -> Result<gst::Buffer, Failed> {
        let Self { remote, runtime, closing, .. } = self;
        let unseen = || Failed::Said("nothing is known of it".to_owned());
        let bytes = match remote {
            Remote::Object(object, meta) => {
                let etag = meta.as_ref().and_then(|meta| meta.etag.as_deref());
                wait(runtime, closing, object.read(range, etag), Failed::Fault)
            }
            Remote::Web(file, meta) => {
                let meta = meta.as_ref().ok_or_else(unseen)?;
                wait(runtime, closing, file.read(range, meta), Failed::Web)
            }
        };
        bytes.map(gst::Buffer::from_slice)
    }
}

/// Waits for an answer, unless nobody waits for this any more.
fn wait<T, E>(
    runtime: &tokio::runtime::Runtime,
    closing: &Closing,
    asked: impl Future<Output = Result<T, E>>,
    failed: impl Fn(E) -> Failed,
) -> Result<T, Failed> {
    runtime.block_on(async {
        let mut asked = std::pin::pin!(asked);
        loop {
            match tokio::time::timeout(LOOK, &mut asked).await {
                Ok(answer) => return answer.map_err(failed),
                Err(_) if closing.is_set() => return Err(Failed::Closed),
                Err(_) => {}
            }
        }
    })
}

/// A part of a block, without copying it.
fn region(block: &gst::Buffer, part: Range<u64>) -> Result<gst::Buffer, Failed> {
    let wrong = || Failed::Said("a part of it can't be held in memory".to_owned());
    let start = usize::try_from(part.start).map_err(|_| wrong())?;
    let end = usize::try_from(part.end).map_err(|_| wrong())?;
    block.copy_region(gst::BufferCopyFlags::MEMORY, start..end).map_err(|_| wrong())
}

impl Failed {
    fn tell(&self, learned: &Shared, shown: &str) {
        let (code, message) = match self {
            Self::Closed => return,
            Self::Said(why) => (ErrorCode::Unreachable, format!("{shown}: {why}")),
            Self::Web(fault) => {
                let code = match fault.reason {
                    WebReason::Refused => ErrorCode::AuthFailed,
                    WebReason::Missing => ErrorCode::NotFound,
                    WebReason::Changed => ErrorCode::Corrupt,
                    WebReason::NoRanges | WebReason::Redirected => ErrorCode::Rejected,
                    WebReason::Untrusted => ErrorCode::TlsFailed,
                    WebReason::Away | WebReason::Other => ErrorCode::Unreachable,
                };
                (code, fault.to_string())
            }
            Self::Fault(fault) => {
                let code = match fault.reason {
                    Reason::Refused => ErrorCode::AuthFailed,
                    Reason::Missing => ErrorCode::NotFound,
                    Reason::Changed => ErrorCode::Corrupt,
                    Reason::Full | Reason::Away | Reason::Other => ErrorCode::Unreachable,
                };
                (code, format!("{shown}: {fault}"))
            }
        };
        lock(learned).error.get_or_insert((code, message));
    }
}
