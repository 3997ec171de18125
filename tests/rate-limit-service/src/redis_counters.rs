//! Counters in Redis, by the engine's rules.

use std::time::Duration;

use limitador::counter::Counter;
use redis::{Client, Connection, RedisError, RedisResult};

/// As long as a machine that is busy with tests may need; who asks has a timeout of its own.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Reads the counters, and adds the hits to all of them when each can take them. KEYS are the counters; ARGV are the hits,
/// and each counter's limit and window in seconds. Answers whether the hits fit, then for each counter its value and
/// the milliseconds that are left of its window. Nothing comes in between, so limits hold exactly however many services
/// share a Redis.
const CHECK: &str = "
local hits, fits, answer = tonumber(ARGV[1]), true, {0}
for i, key in ipairs(KEYS) do
  local value, left = tonumber(redis.call('GET', key) or 0), redis.call('PTTL', key)
  fits = fits and value + hits <= tonumber(ARGV[2 * i])
  table.insert(answer, value)
  table.insert(answer, left < 0 and ARGV[2 * i + 1] * 1000 or left)
end
if not fits then return answer end
answer[1] = 1
if hits == 0 then return answer end
for i, key in ipairs(KEYS) do
  local value = redis.call('INCRBY', key, hits)
  if value == hits then redis.call('EXPIRE', key, ARGV[2 * i + 1]) end
  answer[2 * i] = value
end
return answer";

/// One Redis, connected to anew after each failure.
pub struct RedisCounters {
    client: Client,
    connection: Option<Connection>,
}

impl RedisCounters {
    /// Fails when nobody is there.
    pub fn new(address: &str) -> RedisResult<Self> {
        let client = Client::open(address)?;
        let connection = Some(connect(&client)?);
        Ok(Self { client, connection })
    }

    /// Whether all counters could take the hits, which were then added. Tells each what it has left.
    pub fn check(&mut self, counters: &mut [Counter], hits: u64) -> RedisResult<bool> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => connect(&self.client)?,
        };
        let mut command = redis::cmd("EVAL");
        command.arg(CHECK).arg(counters.len());
        for counter in &*counters {
            command.arg(key(counter)?);
        }
        command.arg(hits);
        for counter in &*counters {
            command.arg(counter.max_value()).arg(counter.window().as_secs());
        }
        let answer: Vec<u64> = command.query(&mut connection)?;
        self.connection = Some(connection);
        let Some((fits, found)) = answer.split_first() else { return Ok(false) };
        for (counter, [value, left]) in counters.iter_mut().zip(found.as_chunks().0) {
            counter.set_remaining(counter.max_value().saturating_sub(*value));
            counter.set_expires_in(Duration::from_millis(*left));
        }
        Ok(*fits == 1)
    }
}

fn connect(client: &Client) -> RedisResult<Connection> {
    let connection = client.get_connection_with_timeout(TIMEOUT)?;
    connection.set_read_timeout(Some(TIMEOUT))?;
    connection.set_write_timeout(Some(TIMEOUT))?;
    Ok(connection)
}

/// The limit, without what may change of it, and the values that are counted apart.
fn key(counter: &Counter) -> RedisResult<String> {
    let parts = (counter.limit(), counter.set_variables());
    serde_json::to_string(&parts).map_err(|error| RedisError::from(std::io::Error::from(error)))
}
