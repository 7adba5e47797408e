use std::{fmt, path::PathBuf, str::FromStr};

/// Where the bytes of objects are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum BlobPlace {
    /// In the cluster itself.
    #[default]
    Shards,
    /// In a folder that all nodes share.
    Folder(PathBuf),
    /// In a bucket of an S3-compatible store, under names that begin with a prefix. Endpoint, region and credentials come
    /// from the environment, from the variables that AWS's tools read.
    S3 {
        /// The bucket.
        bucket: String,
        /// May be empty.
        prefix: String,
    },
}

const SHARDS: &str = "shards";
const FOLDER: &str = "file://";
const S3: &str = "s3://";

impl FromStr for BlobPlace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == SHARDS {
            return Ok(Self::Shards);
        }
        if let Some(folder) = text.strip_prefix(FOLDER).filter(|path| path.starts_with('/')) {
            return Ok(Self::Folder(folder.into()));
        }
        if let Some(rest) = text.strip_prefix(S3) {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            if !bucket.is_empty() {
                return Ok(Self::S3 {
                    bucket: bucket.to_owned(),
                    prefix: prefix.trim_matches('/').to_owned(),
                });
            }
        }
        Err(format!(
            "\"{text}\" is neither {SHARDS} nor of the form {FOLDER}/FOLDER or {S3}BUCKET/PREFIX"
        ))
    }
}

impl fmt::Display for BlobPlace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shards => formatter.write_str(SHARDS),
            Self::Folder(folder) => write!(formatter, "{FOLDER}{}", folder.display()),
            Self::S3 { bucket, prefix } if prefix.is_empty() => write!(formatter, "{S3}{bucket}"),
            Self::S3 { bucket, prefix } => write!(formatter, "{S3}{bucket}/{prefix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_back() {
        for text in ["shards", "file:///mnt/blobs", "s3://bucket", "s3://bucket/a/b"] {
            let place: BlobPlace = text.parse().expect("a place");
            assert_eq!(place.to_string(), text);
        }
        let trimmed: BlobPlace = "s3://bucket/a/".parse().expect("a place");
        assert_eq!(trimmed.to_string(), "s3://bucket/a");
        for text in ["", "shard", "file://relative", "s3://", "s3:///a", "/mnt/blobs"] {
            assert!(text.parse::<BlobPlace>().is_err(), "{text:?}");
        }
    }
}
