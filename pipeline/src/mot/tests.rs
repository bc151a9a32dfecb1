use super::*;

#[test]
fn reads_rows_as_tools_write_them() {
    let text =
        "1,-1,315.54,513.41,387.18,450.45,0.92578,0\n\n 2, 3 ,1e2,2,3,4,1,-1,-1,-1\r\n0,7.0,1,2,3,4,0.5\n";
    let rows = read(text.as_bytes()).unwrap();
    assert_eq!(rows.len(), 3);
    assert_eq!((rows[0].frame, rows[0].id, rows[0].class_id), (1, None, Some(0)));
    assert_eq!((rows[0].x, rows[0].confidence), (315.54, 0.92578));
    assert_eq!((rows[1].frame, rows[1].id, rows[1].x, rows[1].class_id), (2, Some(3), 100.0, None));
    assert_eq!((rows[2].frame, rows[2].id, rows[2].class_id), (0, Some(7), None));
}

#[test]
fn what_is_written_reads_back_the_same() {
    let rows = read("1,4,0.1,-3.25,387.18,450.455,0.92578,2\n7,-1,1,2,3,4,0.1\n".as_bytes()).unwrap();
    let mut text = Vec::new();
    write(&mut text, &rows).unwrap();
    assert_eq!(
        String::from_utf8_lossy(&text),
        "1,4,0.1,-3.25,387.18,450.455,0.92578,2\n7,-1,1,2,3,4,0.1,-1\n"
    );
    assert_eq!(read(text.as_slice()).unwrap(), rows);
}

#[test]
fn a_bad_row_is_named_by_its_line() {
    let good = "1,-1,1,2,3,4,0.5,0\n";
    for (bad, sentence) in [
        (
            "1,2,3",
            "line 2: a MOT row has at least 7 columns, frame,id,x,y,w,h,conf[,class_id]; this one has 3",
        ),
        ("x,-1,1,2,3,4,0.5", "line 2: frame is `x`; a whole number, 0 or more is expected there"),
        ("-1,-1,1,2,3,4,0.5", "line 2: frame is `-1`; a whole number, 0 or more is expected there"),
        ("1.5,-1,1,2,3,4,0.5", "line 2: frame is `1.5`; a whole number, 0 or more is expected there"),
        ("1e300,-1,1,2,3,4,0.5", "line 2: frame is `1e300`; a whole number, 0 or more is expected there"),
        ("1,-2,1,2,3,4,0.5", "line 2: id is `-2`; a whole number, or -1 is expected there"),
        ("1,-1,1,2,nan,4,0.5", "line 2: w is `nan`; a number is expected there"),
        ("1,-1,1,2,3,inf,0.5", "line 2: h is `inf`; a number is expected there"),
        ("1,-1,1,2,3,4,", "line 2: conf is ``; a number is expected there"),
        ("1,-1,1,2,3,4,0.5,car", "line 2: class_id is `car`; a whole number, or -1 is expected there"),
        ("1,-1,1,2,3,4,0.5,5e9", "line 2: class_id is `5e9`; a whole number, or -1 is expected there"),
    ] {
        assert_eq!(read(format!("{good}{bad}\n").as_bytes()).unwrap_err().to_string(), sentence);
    }
    let error = read(&b"1,-1,1,2,3,4,0.5\n\xff\xfe\n"[..]).unwrap_err().to_string();
    assert!(error.starts_with("line 2: cannot be read"), "{error}");
}

#[test]
fn pixels_and_fractions_agree() {
    let row = parse("1,-1,192,108,960,540,0.5", 1).unwrap();
    let box2d = row.box2d((1920, 1080));
    assert_eq!([box2d.x_min, box2d.y_min, box2d.x_max, box2d.y_max], [0.1, 0.1, 0.6, 0.6]);
    let moved = row.with_box(box2d, (1920, 1080));
    assert_eq!((moved.x, moved.y, moved.width, moved.height), (192.0, 108.0, 960.0, 540.0));
}
