/* A page that was opened as a file may not load other files. Its data is in data.js, and this answers from there. */
(function ($, files) {
    "use strict";
    $.ajaxTransport("+json", function (options) {
        var path = decodeURI(options.url.split("?")[0]);
        return {
            send: function (headers, complete) {
                setTimeout(function () {
                    if (Object.prototype.hasOwnProperty.call(files, path)) {
                        complete(200, "OK", { json: files[path] });
                    } else {
                        complete(404, "Not Found");
                    }
                }, 0);
            },
            abort: function () {}
        };
    });
})(jQuery, asvFiles);
