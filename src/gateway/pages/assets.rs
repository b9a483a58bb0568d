//! The files that pages consist of, part of the program. Each is served under a name with a hash of its content, so that
//! browsers may keep it for ever; those that are kept compressed go out as they are to whoever takes gzip.

use std::{io::Read as _, sync::LazyLock};

use bytes::Bytes;
use flate2::read::GzDecoder;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tonic::Status;

use crate::{
    config::Page,
    surface::{Response, rest},
};

/// One file.
pub(super) struct Asset {
    page: Page,
    /// Without the hash.
    name: &'static str,
    /// With it.
    hashed: String,
    content_type: &'static str,
    bytes: &'static [u8],
    /// `bytes` are gzip.
    compressed: bool,
}

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

macro_rules! file {
    ($name:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/", $name))
    };
}

static ASSETS: LazyLock<[Asset; 7]> = LazyLock::new(|| {
    [
        Asset::new(Page::Index, "page.css", STYLE, file!("page.css"), false),
        Asset::new(Page::Docs, "swagger-ui.css", STYLE, file!("swagger-ui.css.gz"), true),
        Asset::new(Page::Docs, "swagger-ui.js", SCRIPT, file!("swagger-ui.js.gz"), true),
        Asset::new(Page::Docs, "docs.js", SCRIPT, file!("docs.js"), false),
        Asset::new(Page::Redoc, "redoc-page.css", STYLE, file!("redoc-page.css"), false),
        Asset::new(Page::Redoc, "redoc.js", SCRIPT, file!("redoc.js.gz"), true),
        Asset::new(Page::Redoc, "redoc-page.js", SCRIPT, file!("redoc-page.js"), false),
    ]
});

/// The file that stands beside a page under a name with its hash.
pub(super) fn of(page: Page, hashed: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.page == page && asset.hashed == hashed)
}

/// The path of a file beside the page at `base`.
pub(super) fn path(base: &str, name: &str) -> String {
    let hashed = ASSETS.iter().find(|asset| asset.name == name).map_or(name, |asset| &asset.hashed);
    format!("{}/{hashed}", base.trim_end_matches('/'))
}

impl Asset {
    fn new(
        page: Page,
        name: &'static str,
        content_type: &'static str,
        bytes: &'static [u8],
        compressed: bool,
    ) -> Self {
        let mut hash = flate2::Crc::new();
        hash.update(bytes);
        let (stem, ending) = name.rsplit_once('.').unwrap_or((name, ""));
        let hashed = format!("{stem}-{:08x}.{ending}", hash.sum());
        Self { page, name, hashed, content_type, bytes, compressed }
    }

    /// The file, in a coding that the client takes.
    ///
    /// # Errors
    /// INTERNAL: the file is broken.
    pub(super) fn response(&self, request: &HeaderMap) -> Result<Response, Status> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert(header::CACHE_CONTROL, super::FOR_EVER);
        let accept = request.get(header::ACCEPT_ENCODING);
        let body = if !self.compressed {
            rest::encode(Bytes::from_static(self.bytes), accept, &mut headers)?
        } else if accept.is_some_and(rest::accepts_gzip) {
            headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            Bytes::from_static(self.bytes)
        } else {
            headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
            let mut plain = Vec::new();
            GzDecoder::new(self.bytes)
                .read_to_end(&mut plain)
                .map_err(|error| Status::internal(format!("the file {}: {error}", self.name)))?;
            plain.into()
        };
        Ok(super::response(StatusCode::OK, headers, body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_can_be_unpacked_and_has_a_name_of_its_own() {
        let mut names: Vec<_> = ASSETS.iter().map(|asset| asset.hashed.as_str()).collect();
        for asset in ASSETS.iter() {
            let response = asset.response(&HeaderMap::new()).unwrap();
            assert!(!response.headers().contains_key(header::CONTENT_ENCODING), "{}", asset.name);
            assert!(of(asset.page, &asset.hashed).is_some());
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ASSETS.len());
        assert!(of(Page::Docs, "docs.js").is_none(), "only by its hash");
    }
}
