//! How a request is refused: RFC 9457 problem documents, in Chinese and English.

use serde_json::json;

use super::address::excerpt;
use crate::analysis::AnalysisError;
use crate::model::GridError;
use crate::query::{QueryError, Stop};
use crate::render::RenderError;
use crate::store::StoreError;
use crate::tile::TileError;

/// A refusal: status, a code that stays, and what a person reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub status: u16,
    pub code: &'static str,
    pub title: &'static str,
    pub title_zh: &'static str,
    pub detail: String,
    /// What may be done at an address, where that is what was wrong.
    pub allow: Option<Methods>,
    /// Seconds after which to try again.
    pub retry_after_s: Option<u32>,
    /// What happened inside, for the log; never sent.
    pub cause: Option<String>,
}

/// What may be done at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Methods {
    Read,
    Execute,
    Job,
    /// Anything that may be done somewhere below `/ogc`.
    Processes,
}

impl Methods {
    /// As the header `Allow` lists them.
    pub fn list(self) -> &'static str {
        match self {
            Methods::Read => "GET, HEAD, OPTIONS",
            Methods::Execute => "POST, OPTIONS",
            Methods::Job => "GET, HEAD, DELETE, OPTIONS",
            Methods::Processes => "GET, HEAD, POST, DELETE, OPTIONS",
        }
    }
}

impl Problem {
    fn new(
        status: u16,
        code: &'static str,
        title: &'static str,
        title_zh: &'static str,
        detail: impl Into<String>,
    ) -> Problem {
        Problem {
            status,
            code,
            title,
            title_zh,
            detail: detail.into(),
            allow: None,
            retry_after_s: None,
            cause: None,
        }
    }

    pub fn bad_encoding(detail: impl Into<String>) -> Problem {
        let title = "The address is not valid percent-encoded UTF-8";
        Problem::new(400, "bad-encoding", title, "地址编码无效", detail)
    }

    pub fn bad_coordinate(what: &str, found: &str) -> Problem {
        Problem::new(
            400,
            "bad-coordinate",
            "A tile is numbered with whole numbers from 0 on",
            "瓦片编号须为非负整数",
            format!("{what} is {:?}", excerpt(found)),
        )
    }

    pub fn bad_parameter(detail: impl Into<String>) -> Problem {
        let title = "A parameter of the request is not valid";
        Problem::new(400, "bad-parameter", title, "请求参数无效", detail)
    }

    pub fn too_many_layers(found: usize, limit: usize) -> Problem {
        Problem::new(
            400,
            "too-many-layers",
            "Too many layers in one request",
            "一次请求的图层过多",
            format!("{found} layers, at most {limit} are allowed"),
        )
    }

    pub fn no_such_path() -> Problem {
        Problem::new(
            404,
            "not-found",
            "There is nothing at this address",
            "没有找到该地址",
            "the endpoints are listed in /layers.json and in the documentation",
        )
    }

    pub fn unknown_layer(name: &str) -> Problem {
        Problem::new(
            404,
            "unknown-layer",
            "There is no such layer",
            "没有这个图层",
            format!("layer {:?}; /layers.json lists all", excerpt(name)),
        )
    }

    pub fn unknown_grid(id: &str) -> Problem {
        Problem::new(
            404,
            "unknown-grid",
            "There is no such tile grid",
            "没有这个瓦片格网",
            format!("grid {:?}; /grids lists all", excerpt(id)),
        )
    }

    pub fn unknown_feature(layer: &str, id: u64) -> Problem {
        Problem::new(
            404,
            "unknown-feature",
            "There is no such feature",
            "没有这个要素",
            format!("feature {id} of layer {layer:?}"),
        )
    }

    pub fn unknown_format(found: &str) -> Problem {
        Problem::new(
            404,
            "unknown-format",
            "Tiles do not come in this format",
            "不支持此瓦片格式",
            format!(
                "{:?}; features come as .mvt or .pbf, images as .png, .jpg or .webp",
                excerpt(found)
            ),
        )
    }

    pub fn wrong_format(detail: impl Into<String>) -> Problem {
        let title = "The layer is not offered in this format";
        Problem::new(404, "wrong-format", title, "该图层不提供此格式", detail)
    }

    pub fn tile_outside(detail: impl Into<String>) -> Problem {
        let title = "The grid has no such tile";
        Problem::new(404, "tile-outside-grid", title, "瓦片超出格网范围", detail)
    }

    pub fn method_not_allowed(method: &str, allow: Methods) -> Problem {
        let title = "This method is not answered here";
        let detail = format!(
            "{} was asked, {} are answered",
            excerpt(method),
            allow.list()
        );
        Problem {
            allow: Some(allow),
            ..Problem::new(
                405,
                "method-not-allowed",
                title,
                "此处不接受该请求方法",
                detail,
            )
        }
    }

    pub fn cache_skip_refused() -> Problem {
        Problem::new(
            403,
            "cache-skip-refused",
            "The cache may not be bypassed",
            "不允许绕过缓存",
            "cache=skip is for measurements: start the server with --allow-cache-skip",
        )
    }

    pub fn uri_too_long(found: usize, limit: usize) -> Problem {
        Problem::new(
            414,
            "uri-too-long",
            "The address is too long",
            "地址过长",
            format!("{found} bytes, at most {limit} are read"),
        )
    }

    pub fn body_refused() -> Problem {
        Problem::new(
            413,
            "body-refused",
            "Requests with a body are not taken here",
            "此处不接受请求体",
            "send the request without a body",
        )
    }

    pub fn too_large(detail: impl Into<String>) -> Problem {
        let title = "More is asked for than one request may have";
        Problem::new(413, "too-large", title, "请求超出限制", detail)
    }

    pub fn not_json() -> Problem {
        Problem::new(
            415,
            "not-json",
            "The body is to be JSON",
            "请求体须为 JSON",
            "send it with Content-Type: application/json",
        )
    }

    /// The question is understood but has no answer.
    pub fn unanswerable(detail: impl Into<String>) -> Problem {
        let title = "The question has no answer";
        Problem::new(422, "unanswerable", title, "无法分析", detail)
    }

    pub fn no_such_process(id: &str) -> Problem {
        Problem::new(
            404,
            "no-such-process",
            "There is no such process",
            "没有这个处理过程",
            format!("process {:?}; /ogc/processes lists all", excerpt(id)),
        )
    }

    pub fn no_such_job(id: &str) -> Problem {
        Problem::new(
            404,
            "no-such-job",
            "There is no such job",
            "没有这个作业",
            format!(
                "job {:?}; finished jobs are forgotten after a while",
                excerpt(id)
            ),
        )
    }

    pub fn result_not_ready(id: &str) -> Problem {
        Problem::new(
            404,
            "result-not-ready",
            "The job has no result yet",
            "作业尚未完成",
            format!(
                "job {:?}; /ogc/jobs/{{id}} tells where it stands",
                excerpt(id)
            ),
        )
    }

    pub fn busy() -> Problem {
        let title = "Too many requests are waiting";
        Problem {
            retry_after_s: Some(1),
            ..Problem::new(503, "busy", title, "服务繁忙", "try again in a moment")
        }
    }

    pub fn timeout() -> Problem {
        let title = "The answer took longer than a request may take";
        Problem {
            retry_after_s: Some(5),
            ..Problem::new(503, "timeout", title, "请求超时", "ask for less, or later")
        }
    }

    pub fn stopping() -> Problem {
        let title = "The server is shutting down";
        Problem {
            retry_after_s: Some(5),
            ..Problem::new(503, "stopping", title, "服务正在停止", "ask another server")
        }
    }

    /// What a layer is made of lies on another machine that does not give it.
    pub fn remote_failed(layer: &str, cause: impl ToString) -> Problem {
        Problem {
            cause: Some(cause.to_string()),
            retry_after_s: Some(5),
            ..Problem::new(
                502,
                "archive-unreachable",
                "The archive of the layer cannot be read from where it is",
                "无法读取该图层的远程归档",
                format!("layer {:?}; the log of the server says why", excerpt(layer)),
            )
        }
    }

    /// A fault of the server's side: the cause goes to the log, the client gets the request id.
    pub fn internal(cause: impl ToString) -> Problem {
        let title = "Something went wrong in the server";
        Problem {
            cause: Some(cause.to_string()),
            ..Problem::new(
                500,
                "internal",
                title,
                "服务器内部错误",
                "quote the request id when you report it",
            )
        }
    }

    /// OGC's own name where a standard wants it.
    fn type_uri(&self) -> String {
        const PROCESSES: &str = "http://www.opengis.net/def/exceptions/ogcapi-processes-1/1.0";
        match self.code {
            "no-such-process" | "no-such-job" | "result-not-ready" => {
                format!("{PROCESSES}/{}", self.code)
            }
            code => format!("urn:onemap:problem:{code}"),
        }
    }

    /// The JSON document.
    pub fn document(&self, request_id: &str) -> Vec<u8> {
        json!({
            "type": self.type_uri(),
            "title": self.title,
            "title_zh": self.title_zh,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            "request_id": request_id,
        })
        .to_string()
        .into_bytes()
    }
}

impl From<GridError> for Problem {
    fn from(error: GridError) -> Problem {
        match error {
            GridError::NoSuchZoom { .. } | GridError::OutOfRange { .. } => {
                Problem::tile_outside(error.to_string())
            }
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Problem {
        Problem::internal(error)
    }
}

impl From<Stop> for Problem {
    fn from(stop: Stop) -> Problem {
        match stop {
            Stop::Deadline => Problem::timeout(),
            // Nobody reads it: the client is gone.
            Stop::Cancelled => Problem::busy(),
        }
    }
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Problem {
        match error {
            QueryError::Stopped(stop) => stop.into(),
            QueryError::NotVector { .. } => Problem::wrong_format(error.to_string()),
            QueryError::NoSuchField { .. } => Problem::bad_parameter(error.to_string()),
            QueryError::Store(error) => error.into(),
            QueryError::Format(error) => Problem::internal(error),
        }
    }
}

impl From<AnalysisError> for Problem {
    fn from(error: AnalysisError) -> Problem {
        match error {
            AnalysisError::NotVector { .. }
            | AnalysisError::NoPolygons { .. }
            | AnalysisError::NoCommonPlane { .. }
            | AnalysisError::MixedDatum { .. }
            | AnalysisError::NotCgcs2000 { .. }
            | AnalysisError::NoControlArea { .. }
            | AnalysisError::NoZone { .. }
            | AnalysisError::ClipOverlaps
            | AnalysisError::ClipPlace
            | AnalysisError::BoundaryNotPolygon { .. }
            | AnalysisError::BoundaryPlace { .. }
            | AnalysisError::BoundaryWithoutArea { .. }
            | AnalysisError::Crs(_) => Problem::unanswerable(error.to_string()),
            AnalysisError::NoSuchField { .. } | AnalysisError::NoLayers => {
                Problem::bad_parameter(error.to_string())
            }
            AnalysisError::TooManyVertices { .. }
            | AnalysisError::AreaTooLarge { .. }
            | AnalysisError::TileTooFull { .. } => Problem::too_large(error.to_string()),
            AnalysisError::Grid(error) => error.into(),
            AnalysisError::Stopped(stop) => stop.into(),
            AnalysisError::NotFinite { .. } | AnalysisError::Overlay(_) => Problem::internal(error),
            AnalysisError::Format(error) => Problem::internal(error),
            AnalysisError::Store(error) => error.into(),
        }
    }
}

impl From<TileError> for Problem {
    fn from(error: TileError) -> Problem {
        match error {
            TileError::Grid(error) => error.into(),
            TileError::Query(error) => error.into(),
            TileError::Store(error) => error.into(),
        }
    }
}

impl From<RenderError> for Problem {
    fn from(error: RenderError) -> Problem {
        match error {
            RenderError::NotAnImage { .. } => Problem::wrong_format(error.to_string()),
            RenderError::Grid(error) => error.into(),
            RenderError::Stopped(stop) => stop.into(),
            RenderError::Store(error) => error.into(),
            RenderError::Format(error) => Problem::internal(error),
            RenderError::Encode { .. } => Problem::internal(error),
        }
    }
}
