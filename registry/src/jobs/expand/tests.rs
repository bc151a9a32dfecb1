#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::Path;

use super::*;

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn looking(root: &Path) -> Looking {
    let policy = UriPolicy::new(Vec::new(), vec![root.to_owned()]);
    Looking { policy, places: std::sync::Arc::default(), dates: true }
}

fn files(folder: &Path, names: &[&str]) {
    for name in names {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"x").unwrap();
    }
}

fn told(page: &Page) -> Vec<String> {
    let told = |item: &Expanded| match &item.outcome {
        Ok(file) => file.uri.clone(),
        Err(refused) => format!("{}: {}", item.index, refused.reason),
    };
    page.items.iter().map(told).collect()
}

#[test]
fn folders_patterns_and_files_become_files() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    files(&root, &["a/1.mp4", "a/b/2.MKV", "a/notes.txt", "c [1].mp4", "d.rec"]);
    let at = |name: &str| format!("{}/{name}", root.display());
    let uri = |name: &str| format!("file://{}/{name}", root.display());
    let given = [
        at("a"),
        format!("file://{}", at("a/*.mp4")),
        at("c [1].mp4"),
        at("**/*.rec"),
        at("nothing"),
        at("a/*.avi"),
        "/etc/passwd".to_owned(),
        "rtsp://10.0.0.5/1".to_owned(),
        "https://u:p@10.0.0.5/1".to_owned(),
        "s3://clips/a".to_owned(),
        String::new(),
    ];
    let page = run(looking(&root).page(&given, Cursor::default(), 100));
    let lines = told(&page);
    assert_eq!(
        lines[..5],
        [uri("a/1.mp4"), uri("a/b/2.MKV"), uri("a/1.mp4"), uri("c%20%5B1%5D.mp4"), uri("d.rec")]
    );
    for (line, said) in lines[5..].iter().zip([
        "4: cannot look at",
        "5: nothing fits this pattern",
        "6: the file lies outside the folders",
        "7: rtsp:// is a stream that has no end",
        "8: holds a user or password",
        "9: s3://clips/a lies outside the buckets",
        "10: is empty",
    ]) {
        assert!(line.starts_with(said), "{line}");
    }
    assert_eq!((page.passed_over, page.next), (1, None));
}

#[test]
fn pages_go_on_where_they_ended_and_give_each_file_once() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    files(&root, &["a/1.mp4", "a/2.mp4", "a/b/3.mp4", "a/4.txt", "c.mp4", "empty/x.txt"]);
    let given: Vec<_> =
        ["a", "c.mp4", "empty", "a"].iter().map(|name| format!("{}/{name}", root.display())).collect();
    let whole = told(&run(looking(&root).page(&given, Cursor::default(), 100)));
    assert_eq!(whole.len(), 8);
    for most in 1..9 {
        let (mut all, mut cursor) = (Vec::new(), Cursor::default());
        loop {
            let page = run(looking(&root).page(&given, cursor, most));
            assert!(page.items.len() <= most + 1, "{most}: {page:?}");
            all.extend(told(&page));
            match page.next {
                Some(next) => cursor = next.to_string().parse().unwrap(),
                None => break,
            }
        }
        assert_eq!(all, whole, "{most}");
    }
}

#[test]
fn a_link_out_of_the_folders_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap().join("allowed");
    files(&root, &["a.mp4"]);
    files(folder.path(), &["secret/b.mp4"]);
    std::os::unix::fs::symlink(folder.path().join("secret/b.mp4"), root.join("b.mp4")).unwrap();
    std::os::unix::fs::symlink(folder.path().join("secret"), root.join("c")).unwrap();
    let given = ["", "/c", "/c/b.mp4"].map(|name| format!("{}{name}", root.display()));
    let lines = told(&run(looking(&root).page(&given, Cursor::default(), 100)));
    assert_eq!(lines.len(), 4, "{lines:?}");
    for line in &lines[1..] {
        assert!(line.contains("is a link out of the folders"), "{line}");
    }
}

#[test]
fn what_is_no_cursor_is_none() {
    for text in ["", "1", "1.2.x", "x.0.", "1.1"] {
        assert!(text.parse::<Cursor>().is_err(), "{text}");
    }
    let cursor = Cursor { index: 3, after: "a/b.c ö".to_owned(), gave: true };
    assert_eq!(cursor.to_string().parse(), Ok(cursor));
}
