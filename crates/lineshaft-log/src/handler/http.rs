//! Records to a server, by HTTP.
//!
//! A request has as many records as there are, within bounds, and is kept as it is until the server has taken it: with the
//! same bytes and the same `Idempotency-Key`, so that a server that knows that header can tell what it has already. What
//! was sent and not answered is sent again, since nobody knows whether it arrived.

mod body;

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use ureq::Agent;
use ureq::http::{HeaderMap, HeaderName, HeaderValue, Uri};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

use super::{Failure, Gathering, Handler};
use crate::error::Error;
use crate::level::LevelNames;
use crate::record::Record;
pub use body::HttpBody;
use body::Writer;

/// Where and how to send.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// Where, by `http` or `https`.
    pub url: String,
    /// What each request says besides, with secrets.
    pub headers: Vec<(String, String)>,
    /// The form of the records of a request.
    pub body: HttpBody,
    /// Whether it is sent compressed, by gzip.
    pub is_compressed: bool,
    /// How long an answer is waited for, from the beginning of the request.
    pub timeout: Duration,
    /// How many records a request has at most, how many bytes before compression, and how long the first of them waits.
    pub gathering: Gathering,
    /// Certificates of those who may vouch for the server, in PEM, in place of those that the world trusts.
    pub authorities: Option<PathBuf>,
}

/// Sends to a server.
pub struct Http {
    agent: Agent,
    uri: Uri,
    headers: HeaderMap,
    writer: Writer,
    gathering: Gathering,
    /// What the server has not taken yet.
    pending: Option<Request>,
    /// How many records a request has: fewer than asked for if the server said that those were too many.
    records_max: usize,
    /// When the server wants to be asked again.
    not_before: Option<Instant>,
    /// A number of this handler, and how many requests it has made.
    nonce: u64,
    count: u64,
    /// Requests that the server took.
    taken: u64,
    /// Whether there was a server the last time.
    is_reachable: bool,
}

struct Request {
    records: usize,
    body: Vec<u8>,
    key: HeaderValue,
}

/// What a server made of a request.
enum Answer {
    Taken,
    /// It would take less at once.
    TooLarge(String),
    /// It will never take this one.
    Refused(String),
    /// It may take it later.
    Later(String),
}

/// A connection that nothing was sent over for longer may be closed at the other end, unnoticed.
const IDLE_MAX: Duration = Duration::from_secs(10);
/// A server that wants to be left alone for longer is asked again all the same.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);
/// Requests that were taken after which more records are sent at once again, where that was too much before.
const GROWS_AFTER: u64 = 16;
/// Headers that nobody else can know.
const OWN_HEADERS: [&str; 4] = ["content-encoding", "content-length", "idempotency-key", "transfer-encoding"];
/// So much of an answer is read, for the connection to be used again.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

impl Http {
    /// Prepares to send. Nothing is sent yet, and whether the server is there is not known.
    pub fn open(options: HttpOptions, levels: &Arc<LevelNames>) -> Result<Self, Error> {
        let uri = uri_of(&options.url)?;
        let mut config = Agent::config_builder()
            .timeout_global(Some(options.timeout))
            .http_status_as_error(false)
            // A redirected request would lose its body, or tell its secrets to somebody else.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_idle_age(IDLE_MAX)
            // Records go where the address says, and not to whom the environment of a process names.
            .proxy(None)
            .user_agent(concat!("lineshaft/", env!("CARGO_PKG_VERSION")));
        if let Some(path) = &options.authorities {
            config = config.tls_config(TlsConfig::builder().root_certs(authorities(path)?).build());
        }
        let mut headers = HeaderMap::new();
        for (name, value) in &options.headers {
            let wrong = |reason: String| Error::Header { name: name.clone(), reason };
            let key = HeaderName::try_from(name).map_err(|error| wrong(error.to_string()))?;
            if OWN_HEADERS.contains(&key.as_str()) {
                return Err(wrong("it follows from what is sent".to_owned()));
            }
            let mut value = HeaderValue::try_from(value).map_err(|error| wrong(error.to_string()))?;
            value.set_sensitive(true);
            headers.append(key, value);
        }
        let mut nonce = [0; 8];
        // Where there is no chance yet, which is for moments after a boot, the clock has to do.
        if rustix::rand::getrandom(&mut nonce, rustix::rand::GetRandomFlags::NONBLOCK).is_err() {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            nonce = (now.as_nanos() as u64).to_ne_bytes();
        }
        Ok(Self {
            agent: config.build().into(),
            uri,
            headers,
            writer: Writer::new(options.body, options.is_compressed, options.gathering.bytes, levels),
            gathering: options.gathering,
            pending: None,
            records_max: options.gathering.records,
            not_before: None,
            nonce: u64::from_ne_bytes(nonce),
            count: 0,
            taken: 0,
            is_reachable: true,
        })
    }

    /// The request that is next: the one that was not taken, if there is one.
    fn next(&mut self, records: &[&Record]) -> Request {
        if let Some(pending) = self.pending.take().filter(|pending| pending.records <= records.len()) {
            return pending;
        }
        let (count, body) = self.writer.body(&records[..records.len().min(self.records_max)]);
        self.count += 1;
        let key = HeaderValue::try_from(format!("{:016x}-{}", self.nonce, self.count));
        Request { records: count, body, key: key.expect("hexadecimal digits") }
    }

    fn send(&mut self, request: &Request) -> Answer {
        if self.not_before.is_some_and(|instant| Instant::now() < instant) {
            return Answer::Later("the server wants to be left alone for now".to_owned());
        }
        self.not_before = None;
        let mut builder = self.agent.post(&self.uri);
        if !self.headers.contains_key("content-type") {
            builder = builder.header("content-type", self.writer.content_type());
        }
        if self.writer.is_compressed() {
            builder = builder.header("content-encoding", "gzip");
        }
        builder = builder.header("idempotency-key", &request.key);
        for (name, value) in &self.headers {
            builder = builder.header(name, value);
        }
        let mut response = match builder.send(&request.body[..]) {
            Ok(response) => response,
            Err(error) => {
                self.is_reachable = !is_of_connecting(&error);
                return Answer::Later(error.to_string());
            }
        };
        self.is_reachable = true;
        let status = response.status();
        let _ = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        let reason = format!("the server answered {status}");
        match status.as_u16() {
            200..300 => Answer::Taken,
            413 => Answer::TooLarge(reason),
            400 | 415 | 422 => Answer::Refused(reason),
            // What somebody may still put right at the server is worth waiting for, such as a wrong path or key.
            _ => {
                let pause = pause_of(response.headers());
                self.not_before = pause.map(|pause| Instant::now() + pause.min(RETRY_AFTER_MAX));
                Answer::Later(reason)
            }
        }
    }
}

impl Handler for Http {
    fn handle(&mut self, records: &[&Record]) -> Result<(), Failure> {
        let mut done = 0;
        self.writer.forget();
        while done < records.len() {
            let request = self.next(&records[done..]);
            match self.send(&request) {
                Answer::Taken => {
                    done += request.records;
                    self.taken += 1;
                    // What was too much may have been one record alone.
                    if self.taken.is_multiple_of(GROWS_AFTER) {
                        self.records_max = self.records_max.saturating_mul(2).min(self.gathering.records);
                    }
                }
                Answer::TooLarge(_) if request.records > 1 => self.records_max = request.records / 2,
                Answer::TooLarge(reason) | Answer::Refused(reason) => {
                    return Err(Failure { done, refused: request.records, reason });
                }
                Answer::Later(reason) => {
                    self.pending = Some(request);
                    return Err(Failure { done, refused: 0, reason });
                }
            }
        }
        Ok(())
    }

    fn gathering(&self) -> Option<Gathering> {
        Some(self.gathering)
    }

    fn is_reachable(&self) -> bool {
        self.is_reachable
    }

    fn unformatted(&self) -> (u64, &str) {
        self.writer.unformatted()
    }
}

/// Whether there is nobody to be connected to.
fn is_of_connecting(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::Io(error) => matches!(
            error.kind(),
            ErrorKind::ConnectionRefused | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable
        ),
        ureq::Error::ConnectionFailed | ureq::Error::HostNotFound => true,
        _ => false,
    }
}

/// How long the server wants to be left alone: seconds, or until a date, by its own clock if it says what that shows.
fn pause_of(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).map(str::trim);
    let date = |text| rfc2822::parse(text).ok().map(|date| date.timestamp());
    let after = text("retry-after")?;
    if let Ok(seconds) = after.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let now = text("date").and_then(date).unwrap_or_else(Timestamp::now);
    Duration::try_from(date(after)?.duration_since(now)).ok()
}

fn uri_of(url: &str) -> Result<Uri, Error> {
    let wrong = |reason: &str| Error::Address { address: shown(url), reason: reason.to_owned() };
    let uri = Uri::try_from(url).map_err(|error| wrong(&error.to_string()))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none_or(str::is_empty) {
        return Err(wrong("it does not begin with http:// or https:// and a host"));
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(wrong("a name and a password belong into the header Authorization"));
    }
    Ok(uri)
}

/// A URL without the password that it should not have.
fn shown(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(start), Some(end)) if start < end => format!("{}://***{}", &url[..start], &url[end..]),
        _ => url.to_owned(),
    }
}

fn authorities(path: &PathBuf) -> Result<RootCerts, Error> {
    let wrong = |source| Error::File { path: path.clone(), source };
    let pem = std::fs::read(path).map_err(wrong)?;
    let found: Vec<_> = parse_pem(&pem)
        .filter_map(|item| if let Ok(PemItem::Certificate(found)) = item { Some(found) } else { None })
        .collect();
    if found.is_empty() {
        return Err(wrong(std::io::Error::other("there is no certificate in it, in PEM")));
    }
    Ok(RootCerts::new_with_certs(&found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_says_how_long_or_until_when_it_wants_to_be_left_alone() {
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        for (after, now, expected) in [
            ("120", None, Some(120)),
            (" 0 ", None, Some(0)),
            (date, Some("Sun, 06 Nov 1994 08:49:07 GMT"), Some(30)),
            (date, Some("Sun, 06 Nov 1994 08:50:00 GMT"), None),
            (date, None, None),
            ("soon", None, None),
            ("-3", None, None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("retry-after", HeaderValue::from_str(after).expect("a value"));
            if let Some(now) = now {
                headers.insert("date", HeaderValue::from_static(now));
            }
            assert_eq!(pause_of(&headers), expected.map(Duration::from_secs), "{after}");
        }
        let mut headers = HeaderMap::new();
        let later = Timestamp::now().checked_add(Duration::from_secs(60)).expect("a time");
        let later = rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&later).expect("a date");
        headers.insert("retry-after", HeaderValue::from_str(&later).expect("a value"));
        let pause = pause_of(&headers).expect("a pause");
        assert!((Duration::from_secs(50)..=Duration::from_secs(60)).contains(&pause), "{pause:?}");
    }

    #[test]
    fn a_url_has_a_host_and_no_password() {
        assert!(uri_of("https://logs.example.org:8443/in?a=b").is_ok());
        for (url, expected) in [
            ("ftp://example.org", "http:// or https://"),
            ("example.org/in", "invalid format"),
            ("http:///in", ""),
            ("http://ada:swordfish@example.org/", "Authorization"),
        ] {
            let error = uri_of(url).expect_err(url).to_string();
            assert!(error.contains(expected) && !error.contains("swordfish"), "{error}");
        }
    }
}
