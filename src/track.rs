//! `sightline track`: the tracker alone.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write as _};
use std::path::Path;

use sightline_pipeline::track::{TrackerConfig, replay};

use crate::cli::TrackArgs;
use crate::detect::results::OutFile;
use crate::exit::{Code, Failure, Outcome};

pub(crate) fn run(args: &TrackArgs) -> Outcome {
    let size = args.size.as_deref().map(parse_size).transpose()?;
    let name = args.detections.display().to_string();
    let input: Box<dyn Read> = if args.detections == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(&args.detections).map_err(|error| Failure::failed(format!("{name}: {error}")))?)
    };
    let video = size.zip(args.fps).map(|(size, fps)| replay::Video { size, fps });
    let mut out = Vec::new();
    let done = replay::track_rows(BufReader::new(input), &mut out, video, TrackerConfig::default()).map_err(
        |error| match error {
            replay::ReplayError::VideoNeeded => Failure::usage(format!("{name}: {error}")),
            _ => Failure::failed(format!("{name}: {error}")),
        },
    )?;
    write(&args.out, &out).map_err(|error| {
        Failure::new(Code::CannotWrite, format!("{}: can't be written: {error}", args.out.display()))
    })?;
    eprintln!(
        "{} frames, {} detections, {} of them on {} tracks",
        done.frames, done.detections, done.tracked, done.tracks
    );
    Ok(())
}

/// Written aside and renamed, so that nobody reads half of it.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if path == Path::new("-") {
        let mut stdout = BufWriter::new(io::stdout());
        stdout.write_all(bytes)?;
        return stdout.flush();
    }
    let mut file = OutFile::create(path)?;
    file.write_all(bytes)?;
    file.commit()
}

fn parse_size(given: &str) -> Result<(u32, u32), Failure> {
    let parsed = given.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    parsed
        .filter(|(w, h)| *w > 0 && *h > 0)
        .ok_or_else(|| Failure::usage(format!("--size {given}: give WIDTHxHEIGHT, as in 1280x720")))
}
