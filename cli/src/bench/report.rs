use serde_json::{Value as Json, json};

use super::{limits::Limits, load::Measured, server_cost::Cost};

/// All figures of one run.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) measured: Measured,
    pub(crate) cost: Cost,
    pub(crate) limits: Option<Limits>,
}

impl Report {
    pub(crate) fn json(&self) -> Json {
        let mut report = json!({
            "requests": self.measured.requests,
            "errors": self.measured.errors,
            "requestsPerSecond": rounded(self.requests_per_second()),
            "p50Ms": self.percentile_ms(50.0),
            "p99Ms": self.percentile_ms(99.0),
            "p999Ms": self.percentile_ms(99.9),
            "cpuMsPerRequest": self.cost.cpu_ms.map(|ms| self.per_request(ms)),
            "commitsPerRequest": self.per_request(self.cost.commits as f64),
            "fsyncsPerRequest": self.per_request(self.cost.log_syncs as f64),
        });
        if let Some(error) = &self.measured.first_error {
            report["firstError"] = error.as_str().into();
        }
        if let Some(limits) = &self.limits {
            report["limits"] = json!({
                "fdatasyncP50Ms": rounded(limits.fdatasync_p50_ms),
                "echoP50Ms": rounded(limits.echo_p50_ms),
                "echoRequestsPerSecond": rounded(limits.echo_requests_per_second),
                "echoCpuMsPerRequest": rounded(limits.echo_cpu_ms_per_request),
            });
        }
        report
    }

    pub(crate) fn text(&self) -> String {
        let json = self.json();
        let mut lines: Vec<String> = Vec::new();
        let mut figure = |name: &str, value: &Json, unit: &str| {
            if !value.is_null() {
                lines.push(format!("{name:<22} {value} {unit}").trim_end().to_owned());
            }
        };
        figure("requests", &json["requests"], "");
        figure("errors", &json["errors"], "");
        figure("first error", &json["firstError"], "");
        figure("requests per second", &json["requestsPerSecond"], "");
        figure("p50", &json["p50Ms"], "ms");
        figure("p99", &json["p99Ms"], "ms");
        figure("p99.9", &json["p999Ms"], "ms");
        figure("server cpu per request", &json["cpuMsPerRequest"], "ms");
        figure("commits per request", &json["commitsPerRequest"], "");
        figure("fsyncs per request", &json["fsyncsPerRequest"], "");
        let limits = &json["limits"];
        figure("limit: fdatasync p50", &limits["fdatasyncP50Ms"], "ms");
        figure("limit: echo p50", &limits["echoP50Ms"], "ms");
        figure("limit: echoes/s at 64", &limits["echoRequestsPerSecond"], "");
        figure("limit: cpu per echo", &limits["echoCpuMsPerRequest"], "ms");
        lines.join("\n")
    }

    fn requests_per_second(&self) -> f64 {
        self.measured.requests as f64 / self.measured.elapsed.as_secs_f64().max(f64::EPSILON)
    }

    fn percentile_ms(&self, percentile: f64) -> f64 {
        rounded(self.measured.latencies.value_at_percentile(percentile) as f64 / 1000.0)
    }

    /// A sum over the run for each call, answered or not.
    fn per_request(&self, sum: f64) -> f64 {
        let calls = self.measured.requests + self.measured.errors;
        rounded(sum / calls.max(1) as f64)
    }
}

/// Four digits after the point: more is noise.
fn rounded(figure: f64) -> f64 {
    (figure * 10_000.0).round() / 10_000.0
}
