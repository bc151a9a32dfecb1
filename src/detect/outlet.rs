//! Where the results of one input go: lines, drawings, the tally.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use sightline_pipeline::annotate::{AnnotateError, VideoWriter, write_picture};
use sightline_pipeline::frame::{End, Mark};
use sightline_pipeline::lane::{Outlet, Tracked, Unpublished};
use sightline_pipeline::result::ResultFacts;

use super::results::LineWriter;
use super::summary::Shared;

/// A drawing: made when the first frame is there.
pub(crate) struct Drawing {
    path: PathBuf,
    picture: bool,
    video: Option<VideoWriter>,
}

impl Drawing {
    pub(crate) fn new(path: PathBuf, picture: bool) -> Self {
        Self { path, picture, video: None }
    }

    fn frame(&mut self, tracked: &Tracked<'_>, label: &dyn Fn(u32) -> String) -> Result<(), AnnotateError> {
        if self.picture {
            return write_picture(&self.path, tracked, label);
        }
        if self.video.is_none() {
            // Nominal alone: each frame keeps its pts.
            self.video = Some(VideoWriter::create(&self.path, 25.0)?);
        }
        match &mut self.video {
            Some(video) => video.frame(tracked, label),
            None => Ok(()),
        }
    }

    fn finish(&mut self) -> Result<(), AnnotateError> {
        self.video.take().map_or(Ok(()), VideoWriter::finish)
    }
}

pub(crate) struct ResultOutlet {
    facts: ResultFacts,
    lines: LineWriter,
    drawing: Option<Drawing>,
    tally: Shared,
}

impl ResultOutlet {
    pub(crate) fn new(
        index: usize,
        name: &str,
        classes: &Arc<[String]>,
        lines: LineWriter,
        drawing: Option<Drawing>,
        tally: Shared,
    ) -> Self {
        let facts = ResultFacts { camera: name.to_owned(), epoch: index as u64, classes: classes.clone() };
        Self { facts, lines, drawing, tally }
    }

    fn drew(&mut self, drawn: Result<(), AnnotateError>) {
        if let Err(error) = drawn {
            self.drawing = None;
            self.tally.lock().unwrap_or_else(PoisonError::into_inner).drawing_failed(error.to_string());
        }
    }
}

/// Whether drawing failed: then the rest is not worth detecting.
pub(crate) fn drawing_failed(tally: &Shared) -> bool {
    tally.lock().unwrap_or_else(PoisonError::into_inner).has_drawing_error()
}

impl Outlet for ResultOutlet {
    fn frame(&mut self, tracked: &Tracked<'_>) -> Result<(), Unpublished> {
        let result = self.facts.result(tracked);
        self.lines.write(&result);
        let label = |class_id: u32| self.facts.label(class_id).to_owned();
        let drawn = self.drawing.as_mut().map_or(Ok(()), |drawing| drawing.frame(tracked, &label));
        self.drew(drawn);
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).frame(tracked, &result);
        Ok(())
    }

    fn mark(&mut self, _: &Mark) {}

    fn end(&mut self, end: &End) {
        let interrupted = self.tally.lock().unwrap_or_else(PoisonError::into_inner).is_interrupted();
        if interrupted {
            // Dropped without being finished, it leaves nothing.
            self.drawing = None;
        }
        let drawn = self.drawing.as_mut().map_or(Ok(()), Drawing::finish);
        self.drew(drawn);
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).ended(end.skipped);
    }
}
