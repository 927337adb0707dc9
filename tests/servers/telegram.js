// Starts the npm package telegram-test-api on the port in argv and says so; ends with its standard input.
const TelegramServer = require('telegram-test-api');

const server = new TelegramServer({ host: '127.0.0.1', port: Number(process.argv[2]), storeTimeout: 86400 });
server.start().then(
  () => console.log('ready'),
  (error) => {
    console.error(error.message);
    process.exit(1);
  },
);
process.stdin.on('end', () => process.exit(0)).resume();
