//! How the handlers of a configuration are opened, each from its options.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lineshaft_log::handler::{
    Colours, Compression, Console, File, FileOptions, Http, HttpBody, HttpOptions, Journald, JournaldOptions,
    Kept, Rotation, Syslog, SyslogAddress, SyslogOptions,
};
use lineshaft_log::{Error, Format, Gathering, Handler, LevelNames, Zone};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::formatting::format_by;
use super::plan::What;
use super::reading::{get, refused};

/// What takes the records, by its kind.
pub(super) fn what(handler: &Bound<'_, PyDict>, levels: &Arc<LevelNames>) -> PyResult<What> {
    match get::<String>(handler, "kind")?.as_str() {
        "console" => console(handler, levels),
        "file" => file(handler, levels),
        "http" => http(handler, levels),
        "syslog" => syslog(handler, levels),
        "journald" => journald(handler),
        "memory" => Ok(What::Kept(Kept::new(get(handler, "records_max")?, get(handler, "bytes_max")?))),
        _ => Ok(What::Called(get(handler, "call")?)),
    }
}

/// Opens a handler of these options whenever one is needed.
fn opened<O, H>(
    options: O,
    open: impl Fn(O, &Arc<LevelNames>) -> Result<H, Error> + Send + Sync + 'static,
) -> What
where
    O: Clone + Send + Sync + 'static,
    H: Handler + 'static,
{
    What::Opened(Arc::new(move |levels| Ok(Box::new(open(options.clone(), levels)?) as Box<dyn Handler>)))
}

fn console(handler: &Bound<'_, PyDict>, levels: &Arc<LevelNames>) -> PyResult<What> {
    let colours = match get::<Option<bool>>(handler, "colours")? {
        None => Colours::Terminal,
        Some(true) => Colours::Always,
        Some(false) => Colours::Never,
    };
    let (format, zone) = format_of(handler, levels, colours.are_shown())?;
    Ok(opened(format, move |format, levels| Ok(Console::new(format, zone, levels))))
}

fn file(handler: &Bound<'_, PyDict>, levels: &Arc<LevelNames>) -> PyResult<What> {
    let (format, zone) = format_of(handler, levels, false)?;
    let (size_bytes, every): (Option<u64>, Option<f64>) =
        (get(handler, "rotate_bytes")?, get(handler, "rotate_seconds")?);
    let rotation = Rotation {
        size_bytes,
        every: every.map(seconds),
        keep: get(handler, "keep")?,
        compression: if get(handler, "is_compressed")? { Compression::Gzip } else { Compression::None },
    };
    let is_rotated = rotation.size_bytes.is_some() || rotation.every.is_some();
    let options = FileOptions {
        path: get::<PathBuf>(handler, "path")?,
        format,
        zone,
        mode: get(handler, "mode")?,
        rotation: is_rotated.then_some(rotation),
    };
    Ok(opened(options, File::open))
}

fn syslog(handler: &Bound<'_, PyDict>, levels: &Arc<LevelNames>) -> PyResult<What> {
    let address = get::<String>(handler, "address")?;
    let is_path = address.starts_with('/');
    let options = SyslogOptions {
        address: if is_path { SyslogAddress::Unix(address.into()) } else { SyslogAddress::Udp(address) },
        facility: get(handler, "facility")?,
        name: get(handler, "program")?,
        format: format_of(handler, levels, false)?.0,
    };
    Ok(opened(options, Syslog::open))
}

fn journald(handler: &Bound<'_, PyDict>) -> PyResult<What> {
    let options = JournaldOptions { path: get(handler, "address")?, name: get(handler, "program")? };
    Ok(opened(options, Journald::open))
}

fn http(handler: &Bound<'_, PyDict>, levels: &Arc<LevelNames>) -> PyResult<What> {
    let body = match words_of(handler)?.as_deref() {
        Some("json_array") => HttpBody::Array(zone_of(handler, Zone::Utc)?),
        Some("otlp") => HttpBody::Otlp(get(handler, "service")?),
        _ => {
            let (format, zone) = format_of(handler, levels, false)?;
            HttpBody::Lines(format, zone)
        }
    };
    let options = HttpOptions {
        url: get(handler, "url")?,
        headers: get(handler, "headers")?,
        body,
        is_compressed: get(handler, "is_compressed")?,
        timeout: seconds(get(handler, "timeout_seconds")?),
        gathering: Gathering {
            records: get(handler, "batch_records")?,
            bytes: get(handler, "batch_bytes")?,
            age: seconds(get(handler, "batch_age_seconds")?),
        },
        authorities: get(handler, "authorities")?,
    };
    Ok(opened(options, Http::open))
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

/// The form that a handler has, and its zone.
fn format_of(
    handler: &Bound<'_, PyDict>,
    levels: &Arc<LevelNames>,
    has_colours: bool,
) -> PyResult<(Format, Zone)> {
    let format = match words_of(handler)?.as_deref() {
        None => format_by(get(handler, "format")?, levels),
        Some("text") => Format::Text { has_colours },
        Some("json") => Format::Json,
        Some(template) => {
            Format::template(template).map_err(|error| refused(handler.py(), "format", &error))?
        }
    };
    let zone = zone_of(handler, format.usual_zone())?;
    Ok((format, zone))
}

/// What a form is called, or its template; `None` for a function.
fn words_of(handler: &Bound<'_, PyDict>) -> PyResult<Option<String>> {
    let format = get::<Bound<'_, PyAny>>(handler, "format")?;
    if format.is_instance_of::<PyString>() { get(handler, "format").map(Some) } else { Ok(None) }
}

/// The zone in which a handler shows times.
fn zone_of(handler: &Bound<'_, PyDict>, usual: Zone) -> PyResult<Zone> {
    let utc = handler.get_item("utc")?.map(|utc| utc.extract::<Option<bool>>()).transpose()?.flatten();
    Ok(match utc {
        None => usual,
        Some(true) => Zone::Utc,
        Some(false) => Zone::Local,
    })
}
