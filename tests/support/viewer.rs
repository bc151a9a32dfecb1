//! A client of RTSP cameras that hides nothing: requests by hand, packets as they come, over TCP.
// Each user takes what it needs, and a module that is included by path has no outside.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Viewer {
    reader: BufReader<TcpStream>,
    uri: String,
    sequence: u32,
    session: String,
    /// Packets that came between two answers.
    waiting: Vec<Packet>,
    /// What has come of the next packet.
    begun: Vec<u8>,
}

#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HashMap<String, String>,
    pub body: String,
}

#[derive(Clone, Debug)]
pub enum Packet {
    Rtp(Rtp),
    Rtcp(Vec<u8>),
}

#[derive(Clone, Debug)]
pub struct Rtp {
    pub sequence: u16,
    pub timestamp: u32,
    /// The last packet of its access unit.
    pub marker: bool,
    pub payload: Vec<u8>,
}

/// A sender report: what the camera says the time was at an RTP timestamp.
#[derive(Clone, Copy, Debug)]
pub struct SenderReport {
    /// Seconds since 1970.
    pub time: f64,
    pub timestamp: u32,
    pub seen: Instant,
}

/// How a connection went silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// Nothing came for as long as asked; the connection stands.
    Nothing,
    Closed,
    Reset,
}

impl Viewer {
    pub fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("the camera is there");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let uri = format!("rtsp://127.0.0.1:{port}/cam");
        Self {
            reader: BufReader::new(stream),
            uri,
            sequence: 0,
            session: String::new(),
            waiting: Vec::new(),
            begun: Vec::new(),
        }
    }

    /// Connects and asks for all pictures.
    pub fn play(port: u16) -> Self {
        let mut viewer = Self::connect(port);
        assert_eq!(viewer.describe().status, 200);
        assert_eq!(viewer.setup().status, 200);
        assert_eq!(viewer.request("PLAY", "", &[("Range", "npt=0-")]).status, 200);
        viewer
    }

    pub fn describe(&mut self) -> Answer {
        self.request("DESCRIBE", "", &[("Accept", "application/sdp")])
    }

    pub fn setup(&mut self) -> Answer {
        let answer =
            self.request("SETUP", "/stream=0", &[("Transport", "RTP/AVP/TCP;unicast;interleaved=0-1")]);
        let session = answer.headers.get("session").map(String::as_str).unwrap_or_default();
        self.session = session.split(';').next().unwrap_or_default().to_owned();
        answer
    }

    pub fn request(&mut self, method: &str, below: &str, headers: &[(&str, &str)]) -> Answer {
        self.sequence += 1;
        let mut request = format!("{method} {}{below} RTSP/1.0\r\nCSeq: {}\r\n", self.uri, self.sequence);
        if !self.session.is_empty() {
            request.push_str(&format!("Session: {}\r\n", self.session));
        }
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        self.reader.get_mut().write_all(request.as_bytes()).expect("it can be asked");
        loop {
            let in_packet = !self.begun.is_empty();
            if !in_packet && self.reader.fill_buf().expect("it answers").first() != Some(&b'$') {
                return self.answer();
            }
            let packet = self.interleaved().expect("it sends");
            self.waiting.push(packet);
        }
    }

    fn answer(&mut self) -> Answer {
        let mut line = String::new();
        self.reader.read_line(&mut line).expect("it answers");
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no answer: {line:?}"));
        let mut headers = HashMap::new();
        loop {
            line.clear();
            self.reader.read_line(&mut line).expect("it answers");
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let length = headers.get("content-length").map_or(0, |length| length.parse().expect("a number"));
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body).expect("all of the answer");
        Answer { status, headers, body: String::from_utf8(body).expect("UTF-8") }
    }

    fn interleaved(&mut self) -> std::io::Result<Packet> {
        self.fill(4)?;
        assert_eq!(self.begun[0], b'$', "neither a packet nor asked for");
        self.fill(4 + usize::from(u16::from_be_bytes([self.begun[2], self.begun[3]])))?;
        let packet = std::mem::take(&mut self.begun);
        let (channel, bytes) = (packet[1], packet[4..].to_vec());
        Ok(if channel == 0 { Packet::Rtp(Rtp::parse(&bytes)) } else { Packet::Rtcp(bytes) })
    }

    /// Reads until so much of a packet is there. What has come stays where the rest takes too long.
    fn fill(&mut self, size: usize) -> std::io::Result<()> {
        while self.begun.len() < size {
            let come = self.reader.fill_buf()?;
            if come.is_empty() {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let taken = come.len().min(size - self.begun.len());
            self.begun.extend_from_slice(&come[..taken]);
            self.reader.consume(taken);
        }
        Ok(())
    }

    /// The next packet, within a minute.
    pub fn packet(&mut self) -> Packet {
        match self.next_within(PATIENCE) {
            Ok(packet) => packet,
            Err(silence) => panic!("no packet: {silence:?}"),
        }
    }

    /// The next packet, or why there is none.
    pub fn next_within(&mut self, patience: Duration) -> Result<Packet, Silence> {
        if !self.waiting.is_empty() {
            return Ok(self.waiting.remove(0));
        }
        self.reader.get_ref().set_read_timeout(Some(patience)).unwrap();
        let found = self.interleaved();
        self.reader.get_ref().set_read_timeout(Some(PATIENCE)).unwrap();
        found.map_err(|error| match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Silence::Nothing,
            ErrorKind::ConnectionReset => Silence::Reset,
            ErrorKind::UnexpectedEof => Silence::Closed,
            other => panic!("{other}"),
        })
    }

    /// Takes what comes until nothing does, for as long as this, or until the connection ends.
    pub fn drain(&mut self, patience: Duration) -> (Vec<Packet>, Silence) {
        let mut packets = Vec::new();
        loop {
            match self.next_within(patience) {
                Ok(packet) => packets.push(packet),
                Err(silence) => return (packets, silence),
            }
        }
    }

    /// The next access unit: its packets and their timestamp.
    pub fn access_unit(&mut self) -> (u32, Vec<Rtp>) {
        let mut packets: Vec<Rtp> = Vec::new();
        loop {
            let Packet::Rtp(packet) = self.packet() else { continue };
            let ends = packet.marker;
            packets.push(packet);
            if ends {
                return (packets[0].timestamp, packets);
            }
        }
    }

    pub fn sender_report(&mut self) -> SenderReport {
        loop {
            if let Packet::Rtcp(bytes) = self.packet()
                && let Some(report) = SenderReport::parse(&bytes)
            {
                return report;
            }
        }
    }
}

impl Rtp {
    fn parse(bytes: &[u8]) -> Self {
        let four = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        Self {
            sequence: u16::from_be_bytes([bytes[2], bytes[3]]),
            timestamp: four(4),
            marker: bytes[1] & 0x80 != 0,
            payload: bytes[12..].to_vec(),
        }
    }
}

impl SenderReport {
    /// RFC 3550, 6.4.1.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < 28 || bytes[1] != 200 {
            return None;
        }
        let four = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        // NTP's seconds begin in 1900.
        let time = f64::from(four(8)) - 2_208_988_800.0 + f64::from(four(12)) / 4_294_967_296.0;
        Some(Self { time, timestamp: four(16), seen: Instant::now() })
    }
}
