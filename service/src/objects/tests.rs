#![allow(clippy::unwrap_used)]

use futures_util::TryStreamExt as _;
use object_store::path::Path;

use super::fault::why;
use super::*;

fn generic(text: &str) -> object_store::Error {
    object_store::Error::Generic { store: "S3", source: text.to_owned().into() }
}

#[test]
fn a_fault_shows_the_code_and_no_signature() {
    let answer = "Server returned non-2xx status code: 403 Forbidden: <Error><Code>SignatureDoesNotMatch</Code>\
                  <AWSAccessKeyId>AKIA1</AWSAccessKeyId><StringToSign>abc</StringToSign></Error>";
    let (reason, why) = why(&generic(answer));
    assert_eq!(reason, Reason::Refused);
    assert_eq!(why, "the store answers with 403 (SignatureDoesNotMatch)");
}

#[test]
fn what_is_said_of_an_address_is_not_repeated() {
    let (reason, why) = why(&generic("error sending request for url (https://a.blob/x?sig=SECRET)"));
    assert_eq!(reason, Reason::Away);
    assert!(!why.contains("SECRET"), "{why}");
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

#[test]
fn a_directory_is_listed_and_read_by_ranges_of_one_content() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("a b")).unwrap();
    let file = folder.path().join("a b/ö%41.mp4");
    std::fs::write(&file, b"0123456789").unwrap();
    let place = Place::open(folder.path().to_str().unwrap()).unwrap();
    let found: Vec<_> = run(place.list(&Path::parse("a b").unwrap()).try_collect()).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].path.as_str(), found[0].bytes), ("a b/ö%41.mp4", 10));
    let path = Path::parse("a b/ö%41.mp4").unwrap();
    let meta = run(place.head(&path)).unwrap();
    assert_eq!(meta.bytes, 10);
    let etag = meta.etag.as_deref();
    assert_eq!(&run(place.read(&path, 3..6, etag)).unwrap()[..], b"345");
    assert_eq!(&run(place.read(&path, 8..20, etag)).unwrap()[..], b"89");
    std::fs::write(&file, b"other and longer").unwrap();
    let fault = run(place.read(&path, 0..4, etag)).unwrap_err();
    assert_eq!(fault.reason, Reason::Changed, "{fault}");
    std::fs::remove_file(&file).unwrap();
    assert_eq!(run(place.head(&path)).unwrap_err().reason, Reason::Missing);
}

#[test]
fn what_is_no_place_is_refused() {
    assert!(Place::open("/no/such/directory").is_err());
    assert!(Place::open("ftp://host/x").err().unwrap().to_string().contains("give a directory"));
}
