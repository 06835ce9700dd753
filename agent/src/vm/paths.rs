//! What a path names, and by which methods it is asked. Left out: what is answered (`answers`).

use garant_api::{event, node, openapi, vm, vm::Verb};
use garant_channel::http::Method;

/// Something that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path<'a> {
    /// The description of all this.
    Document,
    /// What works on the node.
    Node,
    /// All VMs.
    List,
    /// One VM, if the text is an id.
    Vm(&'a str),
    /// What its console showed.
    Console(&'a str),
    /// Something that it can be asked to do.
    Verb(&'a str, Verb),
    /// Events as they happen.
    Stream,
    /// Events after one, if the text is a number.
    Events(&'a str),
}

impl<'a> Path<'a> {
    /// What a path names.
    pub fn of(path: &'a str) -> Option<Path<'a>> {
        if path == openapi::PATH {
            return Some(Path::Document);
        }
        if path == node::PATH {
            return Some(Path::Node);
        }
        if let Some(rest) = below(path, event::PATH) {
            return match rest {
                "" => Some(Path::Stream),
                after if after.contains('/') => None,
                after => Some(Path::Events(after)),
            };
        }
        let (id, part) = match below(path, vm::PATH)? {
            "" if path == vm::PATH => return Some(Path::List),
            rest => rest.split_once('/').map_or((rest, None), |(id, part)| (id, Some(part))),
        };
        match part {
            None => Some(Path::Vm(id)),
            Some("console") => Some(Path::Console(id)),
            Some(verb) => verb.parse().ok().filter(|verb| *verb != Verb::Delete).map(|verb| Path::Verb(id, verb)),
        }
    }

    /// Whether a path is about VMs, whatever it names.
    pub fn is_about_vms(path: &str) -> bool {
        [openapi::PATH, node::PATH].contains(&path)
            || [vm::PATH, event::PATH].iter().any(|prefix| below(path, prefix).is_some())
    }

    /// The methods by which it is asked.
    pub fn methods(self) -> &'static [Method] {
        match self {
            Path::Vm(_) => &[Method::GET, Method::PUT, Method::DELETE],
            Path::Verb(..) => &[Method::POST],
            _ => &[Method::GET],
        }
    }

    /// The same, as a head has it.
    pub fn allow(self) -> &'static str {
        match self {
            Path::Vm(_) => "GET, PUT, DELETE",
            Path::Verb(..) => "POST",
            _ => "GET",
        }
    }
}

/// What follows the prefix and a slash, nothing where it is the prefix alone.
fn below<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(prefix)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
}

/// All paths, for whoever asked for another.
pub const PATHS: &str = "GET /v1/openapi.json describes all: GET /v1/node, GET /v1/vms, GET PUT DELETE /v1/vms/{id}, \
                         GET /v1/vms/{id}/console, POST /v1/vms/{id}/start|pause|resume|stop, GET /v1/events, \
                         GET /v1/events/{after}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_one_thing_or_nothing() {
        for (path, named) in [
            ("/v1/vms", Some(Path::List)),
            ("/v1/vms/", Some(Path::Vm(""))),
            ("/v1/vms/a", Some(Path::Vm("a"))),
            ("/v1/vms/..", Some(Path::Vm(".."))),
            ("/v1/vms/a/console", Some(Path::Console("a"))),
            ("/v1/vms/a/stop", Some(Path::Verb("a", Verb::Stop))),
            ("/v1/vms/a/delete", None),
            ("/v1/vms/a/", None),
            ("/v1/vms/a/stop/", None),
            ("/v1/vms/a/b/stop", None),
            ("/v1/vmss", None),
            ("/v1/events", Some(Path::Stream)),
            ("/v1/events/3", Some(Path::Events("3"))),
            ("/v1/events/3/4", None),
            ("/v1/openapi.json", Some(Path::Document)),
            ("/v1/openapi.json/", None),
            ("/v1/node", Some(Path::Node)),
            ("/v1/node/", None),
            ("/v1/identity", None),
        ] {
            assert_eq!(Path::of(path), named, "{path}");
        }
    }

    #[test]
    fn the_head_lists_the_methods_that_are_answered() {
        for path in [Path::Document, Path::List, Path::Vm("a"), Path::Verb("a", Verb::Stop), Path::Stream] {
            let listed: Vec<&str> = path.methods().iter().map(Method::as_str).collect();
            assert_eq!(listed.join(", "), path.allow());
        }
    }
}
