//! Which addresses a camera may have. A pod can reach what its user can't: the node's own ports, a cloud's metadata
//! service. So loopback, link-local and the like are refused unless they are allowed by name, and they are looked at
//! after name resolution, too: a good name may stand for a bad address.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs as _};
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use sightline_schema::split_credentials;

use crate::bucket_uri::BucketUri;
use crate::percent;

/// Addresses with a common beginning: `10.0.0.0/8`, `fd00::/8`, or a single one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no network; write it like 10.0.0.0/8, fd00::/8, or 127.0.0.1 for one address")]
pub struct NetworkError(String);

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || NetworkError(text.to_owned());
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address.trim().parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(prefix) => prefix.trim().parse().ok().filter(|prefix| *prefix <= most).ok_or_else(wrong)?,
            None => most,
        };
        Ok(Self { address, prefix })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl Network {
    pub fn contains(&self, address: IpAddr) -> bool {
        let (ours, theirs, length) = match (self.address, address) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                (u128::from(u32::from(ours)), u32::from(theirs).into(), 32)
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => (u128::from(ours), u128::from(theirs), 128),
            _ => return false,
        };
        let shift = length - u32::from(self.prefix);
        ours.checked_shr(shift).unwrap_or(0) == theirs.checked_shr(shift).unwrap_or(0)
    }
}

/// Why an address is not allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}; {next_step}")]
pub struct Forbidden {
    pub reason: String,
    pub next_step: String,
}

fn forbid<T>(reason: impl Into<String>, next_step: impl Into<String>) -> Result<T, Forbidden> {
    Err(Forbidden { reason: reason.into(), next_step: next_step.into() })
}

/// What a uri leads to, as far as the uri itself says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A host by its name: its addresses are to be looked at.
    Name(String),
    /// An address, which was looked at.
    Address(IpAddr),
    /// A file under an allowed root.
    File(PathBuf),
    /// An object of an allowed bucket, or those whose keys begin so.
    Object(BucketUri),
    /// A pattern made here.
    Test,
}

/// What is allowed beyond the usual.
#[derive(Clone, Debug, Default)]
pub struct UriPolicy {
    networks: Vec<Network>,
    file_roots: Vec<PathBuf>,
    buckets: Buckets,
}

/// Which objects are allowed. Credentials of a pod may reach further than its users should.
#[derive(Clone, Debug)]
enum Buckets {
    Named(Vec<BucketUri>),
    All,
}

impl Default for Buckets {
    fn default() -> Self {
        Self::Named(Vec::new())
    }
}

impl UriPolicy {
    /// `networks` are allowed whatever they are; files lie under `file_roots` or nowhere.
    pub fn new(networks: Vec<Network>, file_roots: Vec<PathBuf>) -> Self {
        let file_roots = file_roots.iter().map(|root| lexical(root)).collect();
        Self { networks, file_roots, buckets: Buckets::default() }
    }

    /// Objects lie in these buckets, or below these prefixes of buckets, or nowhere.
    #[must_use]
    pub fn with_buckets(self, buckets: Vec<BucketUri>) -> Self {
        Self { buckets: Buckets::Named(buckets), ..self }
    }

    /// Everything is allowed: for whoever runs it all for himself.
    pub fn lax() -> Self {
        let all = |address| Network { address, prefix: 0 };
        let networks = vec![all(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), all(IpAddr::V6(Ipv6Addr::UNSPECIFIED))];
        Self { networks, file_roots: vec![PathBuf::from("/")], buckets: Buckets::All }
    }

    /// Looks at the uri alone; asks nobody and touches no file.
    pub fn check(&self, uri: &str) -> Result<Target, Forbidden> {
        if let Some(object) = BucketUri::parse(uri) {
            return self.check_object(
                object.or_else(|error| forbid("it is no address of an object", error.to_string()))?,
            );
        }
        let (uri, _) = split_credentials(uri);
        let Some((scheme, rest)) = uri.split_once("://") else {
            return self.check_file(Path::new(&uri));
        };
        match scheme.to_ascii_lowercase().as_str() {
            "test" => Ok(Target::Test),
            "file" => self.check_file(Path::new(&percent::decoded(rest))),
            "rtsp" | "rtsps" | "http" | "https" => match host(rest)? {
                Host::Address(address) => {
                    self.check_address(address)?;
                    Ok(Target::Address(address))
                }
                Host::Name(name) => Ok(Target::Name(name)),
            },
            other => forbid(
                format!("the scheme {other}:// is not allowed"),
                "use rtsp, rtsps, http, https, file, s3, gs, az or test",
            ),
        }
    }

    /// Whether a connection may be made to this address.
    pub fn check_address(&self, address: IpAddr) -> Result<(), Forbidden> {
        let plain = unwrapped(address);
        let Some(kind) = special(plain) else { return Ok(()) };
        if self.networks.iter().any(|network| network.contains(plain) || network.contains(address)) {
            return Ok(());
        }
        forbid(
            format!("{address} is {kind} address, which is not allowed here"),
            "use the address of the camera or server itself, or let whoever runs Sightline allow it with --allow-network",
        )
    }

    /// The whole check: every address that the name stands for has to be allowed. A name that nobody knows passes: who
    /// connects later looks again.
    pub fn check_resolved(
        &self,
        uri: &str,
        resolve: impl FnOnce(&str) -> io::Result<Vec<IpAddr>>,
    ) -> Result<(), Forbidden> {
        match self.check(uri)? {
            Target::Name(name) => self.check_addresses(&name, &resolve(&name).unwrap_or_default()),
            Target::Address(_) | Target::File(_) | Target::Object(_) | Target::Test => Ok(()),
        }
    }

    /// Whether a connection may be made to whichever of the addresses that a name stands for.
    pub fn check_addresses(&self, name: &str, addresses: &[IpAddr]) -> Result<(), Forbidden> {
        addresses.iter().try_for_each(|address| {
            let checked = self.check_address(*address);
            checked.or_else(|Forbidden { reason, next_step }| {
                forbid(format!("{name} stands for {reason}"), next_step)
            })
        })
    }

    fn check_file(&self, path: &Path) -> Result<Target, Forbidden> {
        if self.file_roots.is_empty() {
            return forbid(
                "files are not allowed here",
                "use a stream, or let whoever runs Sightline allow a folder with --allow-file-root",
            );
        }
        if path.is_relative() {
            return forbid(
                "the path is relative, and nobody knows to what",
                "write the whole path, as in /clips/gate.mp4",
            );
        }
        let path = lexical(path);
        if self.file_roots.iter().any(|root| path.starts_with(root)) {
            return Ok(Target::File(path));
        }
        forbid(
            "the file lies outside the folders that are allowed",
            "put it there, or let whoever runs Sightline allow its folder with --allow-file-root",
        )
    }

    fn check_object(&self, object: BucketUri) -> Result<Target, Forbidden> {
        let is_allowed = match &self.buckets {
            Buckets::All => true,
            Buckets::Named(buckets) => buckets.iter().any(|bucket| object.is_below(bucket)),
        };
        if is_allowed {
            return Ok(Target::Object(object));
        }
        forbid(
            format!("{object} lies outside the buckets that are allowed"),
            format!(
                "put it there, or let whoever runs Sightline allow it with --allow-bucket {}",
                object.bucket()
            ),
        )
    }

    /// Whether a file that was found under an allowed root really lies in one, behind all links.
    pub fn check_found(&self, path: &Path) -> Result<(), Forbidden> {
        let Ok(real) = path.canonicalize() else { return Ok(()) };
        let inside = |root: &PathBuf| root.canonicalize().is_ok_and(|root| real.starts_with(root));
        if self.file_roots.iter().any(inside) {
            return Ok(());
        }
        forbid("the file is a link out of the folders that are allowed", "put the file itself there")
    }
}

/// The addresses of a name, by the system's resolver.
pub fn resolve(name: &str) -> io::Result<Vec<IpAddr>> {
    Ok((name, 0).to_socket_addrs()?.map(|address| address.ip()).collect())
}

enum Host {
    Name(String),
    Address(IpAddr),
}

/// The host of what stands behind `://`. What two readers could understand in two ways is refused.
fn host(rest: &str) -> Result<Host, Forbidden> {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let odd = || forbid(format!("{authority:?} is no host"), "write HOST or HOST:PORT behind ://");
    if let Some(inner) = authority.strip_prefix('[') {
        let Some((inner, port)) = inner.split_once(']') else { return odd() };
        if !port.is_empty() && !is_port(port) {
            return odd();
        }
        // A zone names an interface of the machine that connects: link-local by its nature.
        let address = inner.split('%').next().unwrap_or(inner);
        return address.parse().map_or_else(|_| odd(), |address| Ok(Host::Address(IpAddr::V6(address))));
    }
    let (name, port) =
        authority.split_once(':').map_or((authority, ""), |(name, _)| (name, &authority[name.len()..]));
    let legal = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    if name.is_empty() || !name.chars().all(legal) || !port.is_empty() && !is_port(port) {
        return odd();
    }
    Ok(name.parse().map_or_else(|_| Host::Name(name.to_ascii_lowercase()), Host::Address))
}

/// `:554`
fn is_port(text: &str) -> bool {
    text.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok())
}

/// An IPv4 address that travels inside an IPv6 one is what is connected to.
fn unwrapped(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let v4 = |high: u16, low: u16| IpAddr::V4(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    match v6.segments() {
        // NAT64.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        // 6to4.
        [0x2002, high, low, ..] => v4(high, low),
        // Mapped, and the form before it.
        [0, 0, 0, 0, 0, 0xffff, high, low] => v4(high, low),
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => v4(high, low),
        _ => address,
    }
}

/// What an address is, if it is no camera's by default: with its article.
fn special(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) => match v4.octets() {
            [0, ..] => Some("an unspecified"),
            [127, ..] => Some("a loopback"),
            [169, 254, ..] => Some("a link-local"),
            [224..=239, ..] => Some("a multicast"),
            [240..=255, ..] => Some("a reserved"),
            _ => None,
        },
        IpAddr::V6(v6) => match v6.segments() {
            _ if v6.is_unspecified() => Some("an unspecified"),
            _ if v6.is_loopback() => Some("a loopback"),
            [first, ..] if first & 0xffc0 == 0xfe80 => Some("a link-local"),
            [first, ..] if first & 0xff00 == 0xff00 => Some("a multicast"),
            _ => None,
        },
    }
}

/// Without `.` and `..`, by the path's text alone.
fn lexical(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                clean.pop();
            }
            part => clean.push(part),
        }
    }
    clean
}

#[cfg(test)]
#[path = "uri_policy_tests.rs"]
mod tests;
