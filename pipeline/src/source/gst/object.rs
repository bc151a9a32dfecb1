//! Objects of a bucket: read by ranges as the demuxer asks for them, never as a whole.
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
use sightline_service::objects::{Fault, Meta, Object, Reason};

use super::decoder::Tap;
use super::{GstOptions, Shared, guarded, lock};

/// Fetched at once. At 8 Mbit/s it is four seconds of video.
const BLOCK: u64 = 4 << 20;
/// Kept: sound and pictures may lie apart, and the index elsewhere.
const BLOCKS: usize = 4;
/// How often a reader looks whether anybody waits for it.
const LOOK: Duration = Duration::from_millis(50);

/// Told when nobody waits for the object any more. All clones are one.
#[derive(Clone, Default)]
pub(super) struct Closing(Arc<AtomicBool>);

impl Closing {
    pub(super) fn close(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Why nothing comes.
enum Failed {
    Fault(Fault),
    Said(String),
    Closed,
}

/// An object, and what of it is at hand.
struct Fetcher {
    object: Object,
    uri: String,
    meta: Option<Meta>,
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
    let fetcher = match Fetcher::open(options.address.uri(), closing.clone()) {
        Ok(mut fetcher) => match fetcher.look() {
            Ok(()) => Some(fetcher),
            Err(failed) => {
                failed.tell(&learned, &fetcher.uri);
                None
            }
        },
        Err(why) => {
            Failed::Said(why).tell(&learned, options.address.uri());
            None
        }
    };
    let bytes = fetcher.as_ref().and_then(|fetcher| fetcher.meta.as_ref()).map_or(0, |meta| meta.bytes);
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
            failed.tell(learned, &fetcher.uri);
            let _ = source.end_of_stream();
        }
    }
}

impl Fetcher {
    fn open(uri: &str, closing: Closing) -> Result<Self, String> {
        let parsed = BucketUri::parse(uri)
            .ok_or_else(|| "is no address of an object".to_owned())?
            .map_err(|error| error.to_string())?;
        let object = Object::open(&parsed).map_err(|error| error.to_string())?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| format!("nothing can be read here: {error}"))?;
        let blocks = VecDeque::with_capacity(BLOCKS + 1);
        Ok(Self { object, uri: parsed.to_string(), meta: None, runtime, closing, blocks, at: 0 })
    }

    /// Asks how long it is, and which content it has.
    fn look(&mut self) -> Result<(), Failed> {
        let meta = self.wait(self.object.head())?;
        self.meta = Some(meta);
        Ok(())
    }

    /// The next bytes, `None` at the end.
    fn read(&mut self, length: u64) -> Result<Option<gst::Buffer>, Failed> {
        let total = self.meta.as_ref().map_or(0, |meta| meta.bytes);
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
            let etag = self.meta.as_ref().and_then(|meta| meta.etag.as_deref());
            let bytes = self.wait(self.object.read(range, etag))?;
            self.blocks.push_back((start, gst::Buffer::from_slice(bytes)));
            if self.blocks.len() > BLOCKS {
                self.blocks.pop_front();
            }
        }
        let missing = || Failed::Said("nothing was read".to_owned());
        self.blocks.back().map(|(_, block)| block.clone()).ok_or_else(missing)
    }

    /// Waits for an answer, unless nobody waits for this any more.
    fn wait<T>(&self, asked: impl Future<Output = Result<T, Fault>>) -> Result<T, Failed> {
        self.runtime.block_on(async {
            let mut asked = std::pin::pin!(asked);
            loop {
                match tokio::time::timeout(LOOK, &mut asked).await {
                    Ok(answer) => return answer.map_err(Failed::Fault),
                    Err(_) if self.closing.is_set() => return Err(Failed::Closed),
                    Err(_) => {}
                }
            }
        })
    }
}

/// A part of a block, without copying it.
fn region(block: &gst::Buffer, part: Range<u64>) -> Result<gst::Buffer, Failed> {
    let wrong = || Failed::Said("a part of it can't be held in memory".to_owned());
    let start = usize::try_from(part.start).map_err(|_| wrong())?;
    let end = usize::try_from(part.end).map_err(|_| wrong())?;
    block.copy_region(gst::BufferCopyFlags::MEMORY, start..end).map_err(|_| wrong())
}

impl Failed {
    fn tell(&self, learned: &Shared, uri: &str) {
        let (code, message) = match self {
            Self::Closed => return,
            Self::Said(why) => (ErrorCode::Unreachable, format!("{uri}: {why}")),
            Self::Fault(fault) => {
                let code = match fault.reason {
                    Reason::Refused => ErrorCode::AuthFailed,
                    Reason::Missing => ErrorCode::NotFound,
                    Reason::Changed => ErrorCode::Corrupt,
                    Reason::Full | Reason::Away | Reason::Other => ErrorCode::Unreachable,
                };
                (code, format!("{uri}: {fault}; {}", fault.reason.reader_advice()))
            }
        };
        lock(learned).error.get_or_insert((code, message));
    }
}
