//! All this as an OpenAPI document, for those who do not read Rust. Tests hold it against the types.

/// Path of the document.
pub const PATH: &str = "/v1/openapi.json";

/// OpenAPI 3.1, JSON.
pub const DOCUMENT: &str = include_str!("../openapi.json");

#[cfg(test)]
mod tests;
