//! Requests to the registry.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value;

use crate::collector::Collector;
use crate::scene::{Scene, http, stop};
use crate::sightline::{Sightline, wait_for};

fn ask(address: &str, path: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn api(registry: &mut Sightline) -> String {
    let line: Value = serde_json::from_str(&registry.wait_for_line("\"api\":")).unwrap();
    line["api"].as_str().unwrap().strip_prefix("http://").unwrap().to_owned()
}

#[test]
fn requests_that_are_traced_are_followed_and_a_share_of_the_others_begins_traces() {
    let (scene, collector) = (Scene::new(), Collector::own());
    let what = ["registry", "--insecure-no-auth", "--listen", "127.0.0.1:0"];
    let url = collector.url();
    let mut registry = scene.run(&what, &["--log", "json", "--otlp", &url]);
    let _ = http(&mut registry);
    let address = api(&mut registry);
    registry.wait_for_line("\"message\":\"ready\"");
    let caller = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7";
    assert!(ask(&address, "/v1/cameras", "").contains(" 200 "));
    // Its sender says whether it is sampled; without a word of his the share is, which is none.
    assert!(ask(&address, "/v1/cameras", &format!("traceparent: 00-{caller}-00\r\n")).contains(" 200 "));
    assert!(ask(&address, "/v1/cameras", &format!("traceparent: 00-{caller}-01\r\n")).contains(" 200 "));
    stop(registry);
    assert_eq!(collector.told().len(), 1, "{:?}", collector.told());

    let mut registry = scene.run(&what, &["--log", "json", "--otlp", &url, "--trace-sample", "1"]);
    let address = api(&mut registry);
    registry.wait_for_line("\"message\":\"ready\"");
    assert!(ask(&address, "/v1/cameras", &format!("traceparent: 00-{caller}-00\r\n")).contains(" 200 "));
    assert!(ask(&address, "/v1/cameras/none", "").contains(" 404 "));
    let told = wait_for("two requests", || Some(collector.told()).filter(|told| told.len() == 2));
    stop(registry);
    assert_eq!(collector.told().len(), 2);
    let of =
        |status: &str| told.iter().find(|s| s.attributes["http.response.status_code"] == status).unwrap();
    assert_eq!(format!("{}-{}", of("200").trace, of("200").parent), caller);
    assert_eq!(of("200").attributes["http.route"], "/v1/cameras");
    assert!(of("404").parent.is_empty() && of("404").trace != of("200").trace);
    assert!(told.iter().all(|span| span.service == "sightline-registry" && span.name == "request"));
}
