//! What stands before every page: only reading, only under our own name, and headers that let a browser do nothing else
//! with what it gets.

use super::said;
use axum::{
    extract::{Request, State},
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::Response,
};
use std::{net::SocketAddr, sync::Arc};

/// The names under which we are asked: `127.0.0.1:8443` and `localhost:8443`. A site whose name was made to point to this
/// machine (DNS rebinding) asks under its own.
pub(super) struct Names(Vec<String>);

impl Names {
    pub fn of(address: SocketAddr) -> Self {
        Self(vec![address.to_string(), format!("localhost:{}", address.port())])
    }

    fn include(&self, name: &str) -> bool {
        self.0.iter().any(|own| own.eq_ignore_ascii_case(name))
    }

    /// Each name that the request gives must be ours, and it must give one (RFC 9112 3.2).
    fn are_asked(&self, request: &Request) -> bool {
        let mut hosts = request.headers().get_all(header::HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
        let absolute = request.uri().authority().is_none_or(|authority| self.include(authority.as_str()));
        absolute && host.to_str().is_ok_and(|host| self.include(host))
    }
}

const HEADERS: [(HeaderName, &str); 8] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CACHE_CONTROL, "no-store"),
    (header::REFERRER_POLICY, "no-referrer"),
    // For browsers that do not know frame-ancestors.
    (header::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("x-robots-tag"), "noindex"),
];

pub(super) async fn guard(State(names): State<Arc<Names>>, request: Request, next: Next) -> Response {
    let mut response = if !names.are_asked(&request) {
        said(StatusCode::MISDIRECTED_REQUEST, "This page is not served under that name.")
    } else if request.method() != Method::GET {
        let mut refused = said(StatusCode::METHOD_NOT_ALLOWED, "This page can only be read.");
        refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET"));
        refused
    } else {
        next.run(request).await
    };
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
