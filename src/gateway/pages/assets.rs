//! The files that pages consist of, part of the program. Each is served under a name with a hash of its content, so that
//! browsers may keep it for ever; those that are kept compressed go out as they are to whoever takes gzip. For whoever does
//! not, each is unpacked once, and all responses share what came of it: a slow reader costs a handle and no copy.

use std::{io::Read as _, sync::LazyLock};

use bytes::Bytes;
use flate2::read::GzDecoder;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio::sync::OnceCell;
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
    /// What `compressed` bytes are unpacked, once somebody needed it.
    plain: OnceCell<Bytes>,
}

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

macro_rules! file {
    ($name:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/", $name))
    };
}

static ASSETS: LazyLock<[Asset; 8]> = LazyLock::new(|| {
    [
        Asset::new(Page::Index, "page.css", STYLE, file!("page.css"), false),
        Asset::new(Page::Docs, "swagger-ui.css", STYLE, file!("swagger-ui.css.gz"), true),
        Asset::new(Page::Docs, "swagger-ui.js", SCRIPT, file!("swagger-ui.js.gz"), true),
        Asset::new(Page::Docs, "docs.js", SCRIPT, file!("docs.js"), false),
        Asset::new(Page::Redoc, "redoc-page.css", STYLE, file!("redoc-page.css"), false),
        Asset::new(Page::Redoc, "redoc.js", SCRIPT, file!("redoc.js.gz"), true),
        Asset::new(Page::Redoc, "redoc-page.js", SCRIPT, file!("redoc-page.js"), false),
        Asset::new(Page::Authorize, "oauth.css", STYLE, file!("oauth.css"), false),
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
        Self { page, name, hashed, content_type, bytes, compressed, plain: OnceCell::new() }
    }

    /// The file, in a coding that the client takes; nothing of it where `head` alone is asked for, or the client has it.
    ///
    /// # Errors
    /// INTERNAL: the file is broken.
    pub(super) async fn response(&'static self, request: &HeaderMap, head: bool) -> Result<Response, Status> {
        let accept = request.get(header::ACCEPT_ENCODING);
        let (mut headers, known) =
            super::validators(&format!("\"{}\"", self.hashed), super::FOR_EVER, request);
        if known {
            return Ok(super::response(StatusCode::NOT_MODIFIED, headers, Bytes::new()));
        }
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        if !self.compressed {
            let body = rest::encode(Bytes::from_static(self.bytes), accept, &mut headers)?;
            return Ok(super::response(StatusCode::OK, headers, body));
        }
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        let body = if accept.is_some_and(rest::accepts_gzip) {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            Bytes::from_static(self.bytes)
        } else if head {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(self.plain_length()));
            Bytes::new()
        } else {
            self.plain().await?
        };
        Ok(super::response(StatusCode::OK, headers, body))
    }

    /// The bytes of a compressed file unpacked, by the first who asks, on a thread where no calls wait for it.
    async fn plain(&'static self) -> Result<Bytes, Status> {
        let broken = |why: String| Status::internal(format!("the file {}: {why}", self.name));
        let unpack = || async {
            let unpacked = tokio::task::spawn_blocking(|| {
                let mut plain = Vec::with_capacity(self.plain_length() as usize);
                GzDecoder::new(self.bytes).read_to_end(&mut plain).map(|_| plain)
            });
            let plain = unpacked.await.map_err(|error| broken(error.to_string()))?;
            plain.map(Bytes::from).map_err(|error| broken(error.to_string()))
        };
        self.plain.get_or_try_init(unpack).await.cloned()
    }

    /// How long a compressed file is unpacked, as its own last bytes say (RFC 1952, ISIZE).
    fn plain_length(&self) -> u32 {
        self.bytes.last_chunk().map_or(0, |length| u32::from_le_bytes(*length))
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    async fn bytes(response: Response) -> Bytes {
        response.into_body().collect().await.unwrap().to_bytes()
    }

    #[tokio::test]
    async fn every_file_can_be_unpacked_and_has_a_name_of_its_own() {
        let mut names: Vec<_> = ASSETS.iter().map(|asset| asset.hashed.as_str()).collect();
        for asset in ASSETS.iter() {
            let response = asset.response(&HeaderMap::new(), false).await.unwrap();
            assert!(!response.headers().contains_key(header::CONTENT_ENCODING), "{}", asset.name);
            let body = bytes(response).await;
            if asset.compressed {
                assert_eq!(body.len(), asset.plain_length() as usize, "{}", asset.name);
            }
            assert!(of(asset.page, &asset.hashed).is_some());
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ASSETS.len());
        assert!(of(Page::Docs, "docs.js").is_none(), "only by its hash");
    }

    #[tokio::test]
    async fn a_file_is_unpacked_once_and_only_for_who_reads_it() {
        static ASSET: LazyLock<Asset> = LazyLock::new(|| {
            Asset::new(Page::Docs, "swagger-ui.js", SCRIPT, file!("swagger-ui.js.gz"), true)
        });
        let none = HeaderMap::new();
        let head = ASSET.response(&none, true).await.unwrap();
        assert_eq!(head.headers()[header::CONTENT_LENGTH], ASSET.plain_length().to_string());
        let etag = head.headers()[header::ETAG].clone();
        let again = HeaderMap::from_iter([(header::IF_NONE_MATCH, etag)]);
        let known = ASSET.response(&again, false).await.unwrap();
        assert_eq!(known.status(), StatusCode::NOT_MODIFIED);
        let gzip = HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"))]);
        assert_eq!(bytes(ASSET.response(&gzip, false).await.unwrap()).await, ASSET.bytes);
        assert!(ASSET.plain.get().is_none(), "unpacked for nobody");

        let (one, other) = tokio::join!(ASSET.response(&none, false), ASSET.response(&none, false));
        let (one, other) = (bytes(one.unwrap()).await, bytes(other.unwrap()).await);
        assert_eq!(one.as_ptr(), other.as_ptr(), "two copies");
        assert_eq!(one.len(), ASSET.plain_length() as usize);
    }
}
