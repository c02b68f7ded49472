// Builds Grafana's web page through webpack's own interface: its command line does
// not find its parts under Plug'n'Play. Types are not checked, and no source maps
// are written.
const webpack = require('webpack');

const configuration = require('./webpack.prod.js')({ noTsCheck: 1 });
configuration.devtool = false;
configuration.cache = false;

webpack(configuration, (error, stats) => {
  if (error) {
    console.error(error);
    process.exitCode = 1;
    return;
  }
  console.log(stats.toString({ all: false, errors: true, errorDetails: true, timings: true }));
  process.exitCode = stats.hasErrors() ? 1 : 0;
});
