//! What logging promises, with its threads and files.

mod files;
mod filters;
#[cfg(feature = "http")]
mod http;
mod pipelines;
mod rotation;
mod system;
#[cfg(feature = "tracing")]
mod tracing;

use std::path::Path;
use std::sync::Arc;

use lineshaft_log::handler::{Callable, File, FileOptions, Rotation};
use lineshaft_log::{
    Fields, Filter, Format, Gate, Handler, Level, Open, Options, Origin, Pipeline, Record, Spec, Thread, Zone,
};

fn record(level: Level, message: &str) -> Record {
    Record {
        time_ns: 0,
        level,
        logger: "app".into(),
        message: message.into(),
        fields: Fields::new(),
        thread: Thread { id: 1, name: "main".into() },
        process: 1,
        place: None,
        exception: None,
        origin: Origin::Own,
    }
}

fn file_options(path: &Path, rotation: Option<Rotation>) -> FileOptions {
    let format = Format::template("{message}").expect("a template");
    FileOptions { path: path.to_owned(), format, zone: Zone::Utc, mode: 0o600, rotation }
}

fn file_spec(path: &Path) -> Spec {
    let options = file_options(path, None);
    let open: Open =
        Arc::new(move |levels| Ok(Box::new(File::open(options.clone(), levels)?) as Box<dyn Handler>));
    Spec::new("file", open)
}

fn calling(name: &str, function: impl Fn(&Record) -> Result<(), String> + Send + Sync + 'static) -> Spec {
    let function = Arc::new(function);
    let open: Open = Arc::new(move |_| {
        let function = function.clone();
        Ok(Box::new(Callable(move |record: &Record| function(record))) as Box<dyn Handler>)
    });
    Spec::new(name, open)
}

fn options(handlers: Vec<Spec>) -> Options {
    Options::new(Gate::new(Filter::at(Level::TRACE), None), handlers)
}

fn started(options: Options) -> Pipeline {
    let (pipeline, _) = Pipeline::open(options).expect("its handlers open");
    pipeline.start().expect("threads");
    pipeline
}

fn lines_of(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}
