use super::*;

const VIDEO: Video = Video { size: (100, 100), fps: 10.0 };

fn track(input: &str, video: Option<Video>) -> Result<(String, Summary), ReplayError> {
    let mut output = Vec::new();
    let summary = track_rows(input.as_bytes(), &mut output, video, TrackerConfig::default())?;
    Ok((String::from_utf8(output).unwrap(), summary))
}

fn frame(camera: &str, seq: u64, boxes: &[[f32; 4]]) -> String {
    let detections: Vec<String> = boxes
        .iter()
        .map(|b| {
            format!(
                r#"{{"class_id":0,"label":"person","confidence":0.9,"box":[{},{},{},{}]}}"#,
                b[0], b[1], b[2], b[3]
            )
        })
        .collect();
    format!(
        r#"{{"schema":"frame/1","camera":"{camera}","epoch":3,"seq":{seq},"captured_at":"2026-11-23T18:40:12.033Z","pts_us":{},"width":1280,"height":720,"detections":[{}]}}"#,
        seq * 40_000,
        detections.join(",")
    )
}

#[test]
fn mot_rows_in_any_order_come_back_by_frame_with_ids() {
    let input =
        "3,-1,12,10,20,40,0.9,2\n1,-1,10,10,20,40,0.9,2\n1,-1,60,50,20,40,0.05,2\n2,-1,11,10,20,40,0.9,2\n";
    let (output, summary) = track(input, Some(VIDEO)).unwrap();
    let rows = mot::read(output.as_bytes()).unwrap();
    assert_eq!(
        rows.iter().map(|row| (row.frame, row.id)).collect::<Vec<_>>(),
        [(1, Some(1)), (2, Some(1)), (3, Some(1))]
    );
    assert!(rows.iter().all(|row| row.class_id == Some(2) && row.confidence == 0.9 && row.width == 20.0));
    assert_eq!(summary, Summary { frames: 3, detections: 4, tracked: 3, tracks: 1 });
}

#[test]
fn a_frame_without_rows_is_a_frame_without_detections() {
    // 0.9 s out of sight is remembered, 1.2 s is not; and a tentative track is forgotten by one empty frame.
    let seen = |frames: &[u64]| {
        let rows: String = frames.iter().map(|frame| format!("{frame},-1,10,10,20,40,0.9,0\n")).collect();
        let (output, _) = track(&rows, Some(VIDEO)).unwrap();
        mot::read(output.as_bytes())
            .unwrap()
            .iter()
            .map(|row| (row.frame, row.id.unwrap()))
            .collect::<Vec<_>>()
    };
    assert_eq!(seen(&[1, 2, 11]), [(1, 1), (2, 1), (11, 1)]);
    assert_eq!(seen(&[1, 2, 14, 15]), [(1, 1), (2, 1), (15, 2)]);
    assert_eq!(seen(&[1, 14, 16, 17]), [(1, 1), (17, 3)]);
}

#[test]
fn a_frame_number_out_of_this_world_takes_no_time() {
    let (output, _) =
        track("1,-1,10,10,20,40,0.9\n9000000000000000,-1,10,10,20,40,0.9\n", Some(VIDEO)).unwrap();
    assert_eq!(output.lines().count(), 1);
}

#[test]
fn mot_rows_need_a_size_and_a_rate() {
    let input = "1,-1,10,10,20,40,0.9\n";
    for video in [
        None,
        Some(Video { size: (0, 100), ..VIDEO }),
        Some(Video { fps: 0.0, ..VIDEO }),
        Some(Video { fps: f64::NAN, ..VIDEO }),
    ] {
        assert!(matches!(track(input, video), Err(ReplayError::VideoNeeded)), "{video:?}");
    }
}

#[test]
fn frame_lines_get_tracks_and_other_records_pass() {
    let tick = r#"{"schema":"tick/9","camera":"a","surprise":[1,2]}"#;
    let here = [0.1, 0.1, 0.3, 0.5];
    let there = [0.6, 0.1, 0.8, 0.5];
    let lines = [
        frame("a", 0, &[here]),
        tick.to_owned(),
        // Another camera's tracks are its own.
        frame("b", 0, &[here]),
        frame("a", 1, &[there, here]),
        frame("a", 2, &[there]),
        frame("a", 3, &[]),
    ];
    let (output, summary) = track(&lines.join("\n"), None).unwrap();
    let output: Vec<&str> = output.lines().collect();
    assert_eq!(output.len(), lines.len());
    assert_eq!(output[1], tick);
    let tracks = |line: &str| match DetectionsRecord::parse(line.as_bytes()).unwrap() {
        DetectionsRecord::Frame(frame) => {
            frame.detections.iter().map(|d| d.track.map(|track| (track.id, track.state))).collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(tracks(output[0]), [Some((1, TrackState::Confirmed))]);
    assert_eq!(tracks(output[2]), [Some((1, TrackState::Confirmed))]);
    assert_eq!(tracks(output[3]), [Some((2, TrackState::Tentative)), Some((1, TrackState::Confirmed))]);
    assert_eq!(tracks(output[4]), [Some((2, TrackState::Confirmed))]);
    assert_eq!(tracks(output[5]), []);
    assert!(
        output[4].contains(r#""box":[0.6,0.1,0.8,0.5],"track":{"id":2,"state":"confirmed","age_s":0.0}"#),
        "{}",
        output[4]
    );
    assert_eq!(summary, Summary { frames: 5, detections: 5, tracked: 4, tracks: 3 });
}

#[test]
fn a_bad_line_is_named() {
    let lines = [frame("a", 0, &[]), r#"{"schema":"frame/1","camera":"a"}"#.to_owned()];
    let error = track(&lines.join("\n"), None).unwrap_err().to_string();
    assert!(error.starts_with("line 2: the record is not a valid frame/1"), "{error}");
    let error = track(&format!("{}\n1,2,3", frame("a", 0, &[])), None).unwrap_err().to_string();
    assert!(error.starts_with("line 2: "), "{error}");
    let error = track("1,-1,10,10,20,40,0.9\nhello\n", Some(VIDEO)).unwrap_err().to_string();
    assert!(error.starts_with("line 2: a MOT row has at least 7 columns"), "{error}");
}

#[test]
fn nothing_in_nothing_out() {
    assert_eq!(track("", Some(VIDEO)).unwrap(), (String::new(), Summary::default()));
}
