//! The incident hold, as servers say it that didn't set it.

use crate::connection::Connection;
use crate::site::{Server, Site};

/// How often the servers' logs have a text, once each server has looked.
async fn logged(site: &Site, servers: &[&Server], text: &str) -> usize {
    for server in servers {
        // Whoever asks for metrics has it look, as its sweep does every half minute.
        assert_eq!(Connection::open(server.address).await.get("/metrics").await.status, 200);
    }
    site.logs().matches(text).count()
}

#[tokio::test]
async fn every_server_logs_a_hold_that_a_command_sets_and_ends_once_each() {
    let (on, over) = ("an incident hold is on", "the incident hold is over");
    let site = Site::new().await;
    let (one, two) = (site.serve().await, site.serve().await);
    let servers = [&one, &two];
    assert_eq!(logged(&site, &servers, on).await, 0);
    site.operate(&["hold", "set", "--for", "1h", "--reason", "the line to the vendor is down"]).await;
    assert_eq!(logged(&site, &servers, on).await, 2);
    assert_eq!(logged(&site, &servers, on).await, 2, "once each");
    assert_eq!(site.logs().matches("the line to the vendor is down").count(), 2, "and why");
    site.operate(&["hold", "end"]).await;
    assert_eq!(logged(&site, &servers, over).await, 2);
}
