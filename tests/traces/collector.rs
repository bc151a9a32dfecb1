//! Who takes spans: a receiver of OTLP over HTTP on loopback, or a real collector that passes on to it what it understood.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use crate::sightline::wait_for;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyValue;
use prost::Message as _;

/// A span as it arrived. Ids are hexadecimal, times nanoseconds since 1970, attributes as texts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Told {
    pub(crate) service: String,
    pub(crate) name: String,
    pub(crate) trace: String,
    pub(crate) id: String,
    /// Empty where a trace begins.
    pub(crate) parent: String,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) attributes: BTreeMap<String, String>,
    /// Why it failed.
    pub(crate) error: Option<String>,
}

impl Told {
    pub(crate) fn traceparent(&self) -> String {
        format!("00-{}-{}-01", self.trace, self.id)
    }
}

pub(crate) enum Collector {
    Own(Receiver),
    Real(Otelcol),
}

impl Collector {
    pub(crate) fn own() -> Self {
        Self::Own(Receiver::start())
    }

    /// For `--otlp`.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Own(receiver) => receiver.url.clone(),
            Self::Real(otelcol) => format!("http://127.0.0.1:{}", otelcol.port),
        }
    }

    /// All that arrived so far.
    pub(crate) fn told(&self) -> Vec<Told> {
        match self {
            Self::Own(receiver) => receiver.told(),
            Self::Real(otelcol) => otelcol.behind.told(),
        }
    }
}

/// Takes whatever comes, as long as the process lives.
pub(crate) struct Receiver {
    url: String,
    told: Arc<Mutex<Vec<Told>>>,
}

impl Receiver {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let told = Arc::<Mutex<Vec<Told>>>::default();
        let kept = Arc::clone(&told);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let kept = Arc::clone(&kept);
                // Whoever told may be gone.
                std::thread::spawn(move || serve(client, &kept).ok());
            }
        });
        Self { url, told }
    }

    fn told(&self) -> Vec<Told> {
        self.told.lock().unwrap().clone()
    }
}

fn serve(client: TcpStream, told: &Mutex<Vec<Told>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut client = client;
    loop {
        let (mut line, mut length) = (String::new(), 0);
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        assert!(line.starts_with("POST /v1/traces HTTP/1.1"), "{line}");
        loop {
            line.clear();
            reader.read_line(&mut line)?;
            let lower = line.trim().to_ascii_lowercase();
            if lower.is_empty() {
                break;
            }
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let request = ExportTraceServiceRequest::decode(&body[..]).unwrap();
        told.lock().unwrap().extend(spans(&request));
        client.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
    }
}

fn spans(request: &ExportTraceServiceRequest) -> Vec<Told> {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut told = Vec::new();
    for of in &request.resource_spans {
        let service = attributes(&of.resource.as_ref().unwrap().attributes)["service.name"].clone();
        for span in of.scope_spans.iter().flat_map(|scope| &scope.spans) {
            assert_eq!((span.trace_id.len(), span.span_id.len()), (16, 8));
            told.push(Told {
                service: service.clone(),
                name: span.name.clone(),
                trace: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                start: span.start_time_unix_nano,
                end: span.end_time_unix_nano,
                attributes: attributes(&span.attributes),
                error: span.status.as_ref().filter(|status| status.code == 2).map(|s| s.message.clone()),
            });
        }
    }
    told
}

fn attributes(of: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &AnyValue| match value {
        AnyValue::StringValue(text) => text.clone(),
        AnyValue::IntValue(number) => number.to_string(),
        AnyValue::BoolValue(flag) => flag.to_string(),
        other => panic!("{other:?}"),
    };
    of.iter()
        .map(|pair| (pair.key.clone(), text(pair.value.as_ref().unwrap().value.as_ref().unwrap())))
        .collect()
}

/// A real OpenTelemetry collector; dropping it ends it.
pub(crate) struct Otelcol {
    child: Child,
    port: u16,
    /// Where it sends what it took.
    behind: Receiver,
    _folder: tempfile::TempDir,
}

impl Otelcol {
    /// The one that `scripts/otel-collector.sh` builds.
    pub(crate) fn start() -> Self {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join(".deps/otel-collector/otelcol");
        assert!(program.is_file(), "{} is missing: run scripts/otel-collector.sh", program.display());
        let folder = tempfile::tempdir().unwrap();
        let behind = Receiver::start();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = folder.path().join("config.yaml");
        let text = format!(
            "receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:{port}'}}}}}}}}\n\
             exporters: {{otlphttp: {{endpoint: '{}', compression: none}}}}\n\
             service:\n  telemetry: {{metrics: {{level: none}}}}\n  \
             pipelines: {{traces: {{receivers: [otlp], exporters: [otlphttp]}}}}\n",
            behind.url
        );
        std::fs::write(&config, text).unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let child = Command::new(program)
            .arg("--config")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut otelcol = Self { child, port, behind, _folder: folder };
        let log = config.with_file_name("log");
        wait_for("the collector to listen", || {
            let ended = otelcol.child.try_wait().unwrap();
            assert!(ended.is_none(), "{ended:?}: {}", std::fs::read_to_string(&log).unwrap());
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
        otelcol
    }
}

impl Drop for Otelcol {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
