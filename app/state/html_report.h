/// \file
/// The report of one head as a single HTML file: opens offline, prints, holds its pictures within. Nothing in it is run or
/// fetched.
#pragma once

#include "state/provenance.h"

#include <string>
#include <string_view>
#include <vector>

namespace convscope {

/// A picture of the report, as the bytes of a PNG file.
struct ReportPicture {
  std::string title;
  std::string png;
  std::string dark_png;  ///< shown instead where the reader prefers dark pages; may be empty
  int width = 0;         ///< at which it is shown, in CSS pixels; a picture of scale 2 has twice as many
};

/// The whole page. `result` has a source and an analysis. All text that comes from files is escaped.
std::string html_report(const AnalysisResult& result, const std::vector<ReportPicture>& pictures);

/// Text as HTML shows it unchanged, in an element as in an attribute; control characters and what is not UTF-8 are replaced.
std::string html_escaped(std::string_view text);

std::string base64(std::string_view bytes);

}  // namespace convscope
