//! One REST request down the whole road: opened, admitted, dispatched and closed, or, where its response begins before the
//! upstream's reply does, in two halves.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::{
    Rest,
    answer::{RestAnswer, Target as Wanted},
    error::Origin,
    paths::Socket,
    stream, websocket,
};
use crate::{
    call::{Call, Road},
    route::Asked,
    surface::{Answer as _, Request, Response, http},
};

impl Rest {
    /// Serves one request down the whole road; a WebSocket is admitted, upgraded, and only then dispatched.
    ///
    /// What becomes of it is boxed where its kind is known: what one kind needs, the others do not carry along.
    pub fn serve<'a, R: Road + 'static>(
        &'a self,
        road: &'a Arc<R>,
        mut request: Request,
    ) -> BoxFuture<'a, Response> {
        if websocket::wanted(&request) {
            match self.paths.talks_to(&mut request) {
                Ok(Socket::Method(endpoint, head)) => {
                    return Box::pin(websocket::serve(endpoint, head, road, request));
                }
                Ok(Socket::Upstream | Socket::Nothing) => {}
                Err(status) => {
                    let mut parts = request.into_parts().0;
                    let origin = Origin::take(&mut parts, &self.errors);
                    let asked = Asked::of(&origin.uri, &parts.headers);
                    let route = self.paths.route(&origin.method, origin.uri.path(), &asked);
                    let route = route.unwrap_or(&self.nothing);
                    let (method, uri) = (origin.method.clone(), origin.uri.clone());
                    let call = http::settled(route, method, uri, parts, Err(status));
                    let answer = RestAnswer { origin, target: Wanted::Nothing };
                    return Box::pin(async move { answer.close(road.run(call).await).await });
                }
            }
        }
        let (answer, call) = self.opened(request);
        if answer.eager().is_some() {
            return Box::pin(eagerly(answer, call, road));
        }
        Box::pin(async move { answer.close(road.run(call).await).await })
    }
}

/// Serves a call whose response begins before the upstream's reply does.
async fn eagerly<R: Road + 'static>(answer: RestAnswer, mut call: Call, road: &Arc<R>) -> Response {
    if let Err(status) = road.admit(&mut call).await {
        return answer.close(Err(status)).await;
    }
    let Some((endpoint, form)) = answer.eager() else {
        return answer.close(road.dispatch(call).await).await;
    };
    let ahead = road.ahead(&call);
    let road = Arc::clone(road);
    let opening = Box::pin(async move { road.dispatch(call).await });
    match stream::begin(endpoint, form, opening, ahead, answer.origin.head()).await {
        Ok(response) => response,
        Err(status) => answer.close(Err(status)).await,
    }
}
