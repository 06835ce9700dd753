//! A machine in the middle: it shows a key of its own and passes off the answers of a real node as its own.

use std::{collections::HashMap, io, net::SocketAddr, sync::Arc, time::Duration};

use garant_channel::{
    error::ChannelError,
    http::{self, Answer, Budget, CBOR, Connection, Request},
    key::SigningKey,
    tls::{self, Accept},
};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    sync::Mutex,
};

/// What the machine in the middle does with a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trick {
    /// It asks the real node the same and returns that answer.
    Relay,
    /// It returns what the node answered to the first such question, whoever asked it.
    Replay,
}

/// A running impostor; it ends when dropped.
pub struct Impostor {
    /// Where it answers.
    pub address: SocketAddr,
    _runtime: Runtime,
}

impl Impostor {
    /// Starts one in front of the node at this address.
    pub fn start(node: SocketAddr, trick: Trick) -> io::Result<Impostor> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        let own_key = SigningKey::generate().expect("the system has randomness");
        let middle = Arc::new(Middle { node, trick, own_key, first_answers: Mutex::default() });
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&middle).serve(stream));
            }
        });
        Ok(Impostor { address, _runtime: runtime })
    }
}

/// What one impostor knows.
struct Middle {
    node: SocketAddr,
    trick: Trick,
    own_key: SigningKey,
    first_answers: Mutex<HashMap<String, (u16, Vec<u8>)>>,
}

impl Middle {
    /// Serves one asker, over a connection to the node that is opened for it.
    async fn serve(self: Arc<Self>, stream: TcpStream) -> Result<(), ChannelError> {
        let asker = tls::accept(tls::server(&self.own_key, Accept::Anyone)?, stream).await?;
        let real = tls::dial(tls::client(None, Accept::Anyone)?, self.node).await?;
        let real = Mutex::new(Connection::open(real).await?);
        http::serve(asker, BUDGET.bytes, async |question| match self.answer(&real, question).await {
            Ok((status, body)) => Answer::new(status, CBOR, body),
            Err(error) => Answer::new(502, CBOR, error.to_string()),
        })
        .await
    }

    async fn answer(&self, real: &Mutex<Connection>, question: Request) -> Result<(u16, Vec<u8>), ChannelError> {
        let about = format!("{} {}", question.method, question.path);
        let recorded = self.first_answers.lock().await.get(&about).cloned();
        match recorded.filter(|_| self.trick == Trick::Replay) {
            Some(answer) => Ok(answer),
            None => {
                let mut real = real.lock().await;
                let (status, body) = match question.method.as_str() {
                    "GET" => real.get(&question.path, BUDGET).await?,
                    _ => real.post(&question.path, question.body, BUDGET).await?,
                };
                let answer = (status, body.to_vec());
                self.first_answers.lock().await.entry(about).or_insert_with(|| answer.clone());
                Ok(answer)
            }
        }
    }
}

/// More than any answer of a node needs: 16 MiB, and the time a slow TPM takes for an RSA key.
const BUDGET: Budget = Budget { bytes: 16 << 20, time: Duration::from_secs(60) };
