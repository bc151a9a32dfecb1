//! What can be asked for: one table, which finds the answer, checks the role, labels the metrics and makes the OpenAPI
//! document. Written by hand, because a path such as `{id}:move` ends in a parameter and a word.

use axum::http::Method;
use percent_encoding::percent_decode_str;

use crate::auth::Role;

/// One thing that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    ListCameras,
    CreateCamera,
    GetCamera,
    ReplaceCamera,
    PatchCamera,
    DeleteCamera,
    MoveCamera,
    ProbeCamera,
    ImportCameras,
    ExportCameras,
    WatchCameras,
    ListEvents,
    WatchEvents,
    ListJobs,
    AddJobs,
    GetJob,
    CancelJob,
    RetryJob,
    WatchJobs,
    ListPods,
    GetScaling,
    ListAudit,
    GetOpenApi,
    GetDocs,
}

#[derive(Clone, Copy, Debug)]
pub struct Route {
    pub operation: Operation,
    pub method: &'static str,
    /// As OpenAPI writes it.
    pub path: &'static str,
    /// `None`: no token is asked for.
    pub role: Option<Role>,
    pub summary: &'static str,
}

const fn route(
    operation: Operation,
    method: &'static str,
    path: &'static str,
    role: Option<Role>,
    summary: &'static str,
) -> Route {
    Route { operation, method, path, role, summary }
}

const VIEWER: Option<Role> = Some(Role::Viewer);
const OPERATOR: Option<Role> = Some(Role::Operator);
const ADMIN: Option<Role> = Some(Role::Admin);

pub const ROUTES: [Route; 24] = [
    route(Operation::ListCameras, "GET", "/v1/cameras", VIEWER, "Cameras, filtered, a page at a time"),
    route(Operation::CreateCamera, "POST", "/v1/cameras", OPERATOR, "Register a camera"),
    route(
        Operation::ProbeCamera,
        "POST",
        "/v1/cameras:probe",
        OPERATOR,
        "What a stream is, before it is a camera",
    ),
    route(Operation::ImportCameras, "POST", "/v1/cameras:import", OPERATOR, "Create or replace many cameras"),
    route(
        Operation::ExportCameras,
        "GET",
        "/v1/cameras:export",
        VIEWER,
        "All cameras, as an import takes them",
    ),
    route(
        Operation::WatchCameras,
        "GET",
        "/v1/cameras:watch",
        VIEWER,
        "Changes as they happen: server-sent events",
    ),
    route(Operation::GetCamera, "GET", "/v1/cameras/{id}", VIEWER, "Settings, placement and live status"),
    route(
        Operation::ReplaceCamera,
        "PUT",
        "/v1/cameras/{id}",
        OPERATOR,
        "Create a camera, or replace its settings",
    ),
    route(
        Operation::PatchCamera,
        "PATCH",
        "/v1/cameras/{id}",
        OPERATOR,
        "Change some settings: a JSON merge patch",
    ),
    route(Operation::DeleteCamera, "DELETE", "/v1/cameras/{id}", ADMIN, "Delete a camera"),
    route(
        Operation::MoveCamera,
        "POST",
        "/v1/cameras/{id}:move",
        OPERATOR,
        "Move a camera to a pool or a pod",
    ),
    route(
        Operation::ListEvents,
        "GET",
        "/v1/events",
        VIEWER,
        "What happened, newest first, a page at a time: from the database",
    ),
    route(
        Operation::WatchEvents,
        "GET",
        "/v1/events:watch",
        VIEWER,
        "What happens, as it happens: server-sent events",
    ),
    route(Operation::ListJobs, "GET", "/v1/jobs", VIEWER, "Jobs, filtered, a page at a time"),
    route(Operation::AddJobs, "POST", "/v1/jobs", OPERATOR, "Add recorded files, each as a job"),
    route(
        Operation::WatchJobs,
        "GET",
        "/v1/jobs:watch",
        VIEWER,
        "How jobs fare, as it happens: server-sent events",
    ),
    route(Operation::GetJob, "GET", "/v1/jobs/{id}", VIEWER, "All of one job, with its progress"),
    route(Operation::CancelJob, "POST", "/v1/jobs/{id}:cancel", OPERATOR, "Cancel a job"),
    route(
        Operation::RetryJob,
        "POST",
        "/v1/jobs/{id}:retry",
        OPERATOR,
        "Try a job again that failed or was cancelled",
    ),
    route(Operation::ListPods, "GET", "/v1/pods", VIEWER, "Pods, what they hold and carry"),
    route(Operation::GetScaling, "GET", "/v1/scaling/pipeline", VIEWER, "How many pods a pool wants"),
    route(Operation::ListAudit, "GET", "/v1/audit", ADMIN, "Accepted changes, newest first"),
    route(Operation::GetOpenApi, "GET", "/openapi.json", None, "This document"),
    route(Operation::GetDocs, "GET", "/docs", None, "This document for people"),
];

/// What a request asks for.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    pub route: &'static Route,
    /// What stands for `{id}`; percent-encoded as it came.
    id: &'a str,
}

impl Found<'_> {
    pub fn id(&self) -> Option<String> {
        percent_decode_str(self.id).decode_utf8().ok().map(|id| id.into_owned())
    }
}

/// Why nothing was found.
#[derive(Debug, PartialEq, Eq)]
pub enum NotFound {
    Path,
    /// With those that the path takes.
    Method(String),
}

pub fn find<'a>(method: &Method, path: &'a str) -> Result<Found<'a>, NotFound> {
    // Of the paths that fit, the one with the most letters of its own: `{id}:move` before `{id}`.
    let fitting: Vec<_> = ROUTES.iter().filter_map(|route| Some((route, fits(route.path, path)?))).collect();
    let longest = fitting.iter().map(|(route, _)| route.path.len()).max().ok_or(NotFound::Path)?;
    let of_path: Vec<_> = fitting.into_iter().filter(|(route, _)| route.path.len() == longest).collect();
    // A HEAD is a GET whose body nobody sends.
    let method = if method == Method::HEAD { "GET" } else { method.as_str() };
    match of_path.iter().find(|(route, _)| route.method == method) {
        Some((route, id)) => Ok(Found { route, id }),
        None => {
            let mut allowed: Vec<_> = of_path.iter().map(|(route, _)| route.method).collect();
            if allowed.contains(&"GET") {
                allowed.push("HEAD");
            }
            Err(NotFound::Method(allowed.join(", ")))
        }
    }
}

/// What stands for `{id}` where the path fits.
fn fits<'a>(template: &str, path: &'a str) -> Option<&'a str> {
    let Some((before, after)) = template.split_once("{id}") else {
        return (template == path).then_some("");
    };
    let id = path.strip_prefix(before)?.strip_suffix(after)?;
    (!id.is_empty() && !id.contains('/')).then_some(id)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn found(method: Method, path: &str) -> Result<(Operation, String), NotFound> {
        find(&method, path).map(|found| (found.route.operation, found.id().unwrap()))
    }

    #[test]
    fn every_route_is_found_by_its_own_path() {
        for route in &ROUTES {
            let path = route.path.replace("{id}", "gate-3");
            let method = Method::from_bytes(route.method.as_bytes()).unwrap();
            assert_eq!(found(method, &path).unwrap().0, route.operation);
        }
    }

    #[test]
    fn a_word_behind_an_id_is_an_action_and_other_methods_are_named() {
        assert_eq!(found(Method::POST, "/v1/cameras/a:move"), Ok((Operation::MoveCamera, "a".into())));
        assert_eq!(found(Method::GET, "/v1/cameras/a%2Fb"), Ok((Operation::GetCamera, "a/b".into())));
        assert_eq!(found(Method::GET, "/v1/cameras/a:jump"), Ok((Operation::GetCamera, "a:jump".into())));
        assert_eq!(found(Method::HEAD, "/v1/pods"), Ok((Operation::ListPods, String::new())));
        let method = |allowed: &str| Err(NotFound::Method(allowed.to_owned()));
        assert_eq!(found(Method::GET, "/v1/cameras/a:move"), method("POST"));
        assert_eq!(found(Method::POST, "/v1/cameras/a"), method("GET, PUT, PATCH, DELETE, HEAD"));
        assert_eq!(found(Method::DELETE, "/v1/cameras"), method("GET, POST, HEAD"));
        for path in ["/", "/v1", "/v1/cameras/", "/v1/cameras/a/b", "/v2/cameras", "/v1/cameras:jump"] {
            assert_eq!(found(Method::GET, path), Err(NotFound::Path), "{path}");
        }
    }
}
