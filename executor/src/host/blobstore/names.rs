use kiln_proto::{
    Error,
    v1::{NamedObject, Value},
};
use wasmtime::component::Resource;

use super::bindings::wasi::blobstore::container::HostStreamObjectNames;
use crate::{
    host::{
        HostState,
        payload::{list_of, string, text_of, texts_of, u64_of, u64_value},
        recorded::{StorageBegun, StorageCall, boolean, elements, is_true, option, option_of, tuple},
    },
    replay::Kind as CallKind,
};

/// Names on one page from the directory.
const PAGE: u32 = 1000;

/// How far the listing of a container has come. Each step is a call of its own, so that no list is ever held whole.
pub struct ObjectNames {
    pub(super) container: String,
    after: Option<String>,
    is_at_end: bool,
}

impl ObjectNames {
    pub(super) fn of(container: String) -> Self {
        Self {
            container,
            after: None,
            is_at_end: false,
        }
    }
}

/// A step of a listing.
#[derive(Default)]
struct Step {
    names: Vec<String>,
    passed: u64,
    last: Option<String>,
    is_at_end: bool,
}

impl HostStreamObjectNames for HostState {
    async fn read_stream_object_names(
        &mut self,
        names: Resource<ObjectNames>,
        length: u64,
    ) -> wasmtime::Result<Result<(Vec<String>, bool), String>> {
        let step = self.list_step(&names, length, true).await?;
        Ok(step.map(|step| (step.names, step.is_at_end)))
    }

    async fn skip_stream_object_names(
        &mut self,
        names: Resource<ObjectNames>,
        number: u64,
    ) -> wasmtime::Result<Result<(u64, bool), String>> {
        let step = self.list_step(&names, number, false).await?;
        Ok(step.map(|step| (step.passed, step.is_at_end)))
    }

    async fn drop(&mut self, names: Resource<ObjectNames>) -> wasmtime::Result<()> {
        self.table.delete(names)?;
        Ok(())
    }
}

impl HostState {
    async fn list_step(
        &mut self,
        names: &Resource<ObjectNames>,
        number: u64,
        with_names: bool,
    ) -> wasmtime::Result<Result<Step, String>> {
        let listing = self.table.get(names)?;
        let (container, after) = (listing.container.clone(), listing.after.clone());
        if listing.is_at_end || number == 0 {
            let is_at_end = listing.is_at_end;
            return Ok(Ok(Step {
                is_at_end,
                ..Step::default()
            }));
        }
        let request = tuple([
            string(&container),
            option(after.as_deref().map(string)),
            u64_value(number),
            boolean(with_names),
        ]);
        let outcome = match self
            .begin_storage(
                "golem blobstore::container::list_object",
                CallKind::ReadRemote,
                request,
            )
            .await?
        {
            StorageBegun::Recorded(outcome) => outcome,
            StorageBegun::New(call) => {
                let step = walk(&call, &container, after, number, with_names).await;
                self.end_storage(call, step.as_ref().map(value_of).map_err(Clone::clone))
                    .await?
            }
        };
        let step = outcome.map(step_of);
        if let Ok(step) = &step {
            let listing = self.table.get_mut(names)?;
            if step.last.is_some() {
                listing.after.clone_from(&step.last);
            }
            listing.is_at_end = step.is_at_end;
        }
        Ok(step)
    }
}

/// Passes over up to `number` names, as many as one call may list.
async fn walk(
    call: &StorageCall,
    container: &str,
    mut after: Option<String>,
    number: u64,
    with_names: bool,
) -> Result<Step, Error> {
    let limits = call.storage.limits();
    let mut bytes = 0;
    let mut step = Step::default();
    while step.passed < number
        && step.names.len() < limits.listed_keys_max
        && bytes < limits.batch_bytes_max
        && !step.is_at_end
    {
        let wanted = u32::try_from(number - step.passed).unwrap_or(u32::MAX).min(PAGE);
        // One more shows whether this page is the last one.
        let mut page: Vec<NamedObject> = call
            .storage
            .list_objects(
                &call.application,
                container,
                after.as_deref(),
                wanted.saturating_add(1),
            )
            .await?;
        step.is_at_end = page.len() <= wanted as usize;
        page.truncate(wanted as usize);
        step.passed += page.len() as u64;
        bytes += page.iter().map(|object| object.name.len()).sum::<usize>();
        after = page.last().map(|object| object.name.clone()).or(after);
        if with_names {
            step.names.extend(page.into_iter().map(|object| object.name));
        }
    }
    step.last = after;
    Ok(step)
}

fn value_of(step: &Step) -> Value {
    tuple([
        list_of(step.names.iter().map(|name| string(name))),
        u64_value(step.passed),
        option(step.last.as_deref().map(string)),
        boolean(step.is_at_end),
    ])
}

fn step_of(value: Value) -> Step {
    let mut fields = elements(value).into_iter();
    let mut next = || fields.next().unwrap_or_default();
    Step {
        names: texts_of(elements(next())),
        passed: u64_of(&next()),
        last: option_of(next()).and_then(text_of),
        is_at_end: is_true(&next()),
    }
}
