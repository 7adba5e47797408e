use std::sync::Arc;

use kiln_proto::{Error, ids::WorkerId, v1};

use crate::{
    component::LoadedComponent,
    context::Context,
    enumerate::Enumerator,
    fork::Fork,
    managers::Managers,
    operations::{Invocation, On},
    registry::{NewVersion, Registry},
    requests::named,
    route::{Operation, Patience, Router},
    storage::Storage,
};

/// What callers can do, whatever protocol they speak.
pub(crate) struct Api {
    pub(crate) router: Arc<Router>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) managers: Arc<Managers>,
    pub(crate) context: Arc<Context>,
    pub(crate) enumerator: Arc<Enumerator>,
    pub(crate) storage: Storage,
}

impl Api {
    /// Calls a function of a worker and waits for its result.
    pub(crate) async fn invoke(
        &self,
        request: v1::InvokeRequest,
        patience: Patience,
    ) -> Result<v1::InvokeResponse, Error> {
        let worker = self.worker(request.worker.as_ref()).await?;
        let shard = self.router.shard_of(&worker)?;
        self.router
            .route(shard, patience, Invocation::new(worker, request)?)
            .await
    }

    /// Does one of the other operations on a worker.
    pub(crate) async fn on_worker<T>(
        &self,
        worker: Option<&v1::WorkerRef>,
        request: T,
        patience: Patience,
    ) -> Result<<On<T> as Operation>::Reply, Error>
    where
        T: Send + Sync + 'static,
        On<T>: Operation,
    {
        let worker = self.worker(worker).await?;
        let shard = self.router.shard_of(&worker)?;
        self.router.route(shard, patience, On::new(worker, request)).await
    }

    /// Makes a new worker from the beginning of another one's oplog.
    pub(crate) async fn fork_worker(
        &self,
        mut request: v1::ForkWorkerRequest,
        patience: Patience,
    ) -> Result<(), Error> {
        named(&mut request.token);
        let source = self.worker(request.source.as_ref()).await?;
        let fork = Fork {
            target: WorkerId {
                component: source.component,
                name: request.target.parse()?,
            },
            source,
            cutoff: request.cutoff,
            last: Vec::new(),
            token: request.token,
        };
        self.fork(&fork, patience).await
    }

    /// A component, with what it exports and imports.
    pub(crate) async fn component(
        &self,
        request: v1::GetComponentRequest,
    ) -> Result<v1::GetComponentResponse, Error> {
        let id = self.registry.resolve(&request.component).await?;
        let version = match request.version {
            Some(version) => self.registry.version(id, version.into()).await?,
            None => self.registry.latest(id).await?,
        };
        let loaded = self.registry.load(&version).await?;
        Ok(v1::GetComponentResponse {
            component: Some((*version).clone()),
            exports: exports(&loaded),
            imports: loaded.imports().to_vec(),
        })
    }

    /// Adds a component or its next version.
    pub(crate) async fn add_component(&self, new: NewVersion) -> Result<v1::ComponentVersion, Error> {
        self.registry.add(new).await
    }

    /// Removes a component that has no workers. One that is created at this very moment stays behind without its component: its
    /// calls fail, and it can be deleted.
    ///
    /// # Errors
    /// `NOT_FOUND`, `CONFLICT` while there are workers, or when a shard or the managers cannot be reached.
    pub(crate) async fn delete_component(&self, component: &str, patience: Patience) -> Result<(), Error> {
        let id = self.registry.resolve(component).await?;
        let latest = self.registry.latest(id).await?;
        let request = v1::CountWorkersRequest {
            component: id.to_string(),
            precise: true,
            ..v1::CountWorkersRequest::default()
        };
        let count = self.enumerator.count(request, patience).await?.count;
        if count > 0 {
            let name = &latest.name;
            return Err(
                Error::conflict(format!("component \"{name}\" has workers: {count}")).with_hint(format!(
                    "delete them first; `kiln worker list {name} --all` shows them"
                )),
            );
        }
        self.registry.remove(id).await
    }

    pub(crate) async fn worker(&self, worker: Option<&v1::WorkerRef>) -> Result<WorkerId, Error> {
        let worker = worker.ok_or_else(|| Error::invalid("no worker is named"))?;
        // The name first: it is checked without asking anybody.
        let name = worker.worker.parse()?;
        Ok(WorkerId {
            component: self.registry.resolve(&worker.component).await?,
            name,
        })
    }
}

fn exports(loaded: &LoadedComponent) -> Vec<v1::ExportedFunction> {
    let describe = |function: &crate::component::FunctionRef| v1::ExportedFunction {
        name: function.full_name.clone(),
        signature: function.signature.to_string(),
    };
    loaded.exports().iter().map(describe).collect()
}
