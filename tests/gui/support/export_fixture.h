/// \file
/// A planted head, analysed, a folder for what tests export of it, and readers of their own for what stands there.
#pragma once

#include "analysis/head_analysis.h"
#include "state/analysis_runner.h"
#include "state/export_values.h"
#include "state/provenance.h"
#include "state/source.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace convscope {

inline std::string contents(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

/// A float32 npy file of two axes, read by a reader that knows nothing of the writer's.
struct NpyArray {
  std::size_t rows = 0, columns = 0;
  bool fortran = false;
  std::vector<float> values;
  float at(Index row, Index column) const {
    const auto i = static_cast<std::size_t>(row);
    const auto j = static_cast<std::size_t>(column);
    return values.at(fortran ? j * rows + i : i * columns + j);
  }
};

inline NpyArray read_npy(const std::filesystem::path& path) {
  const std::string bytes = contents(path);
  NpyArray array;
  if (bytes.size() < 10 || bytes.substr(1, 5) != "NUMPY") throw std::runtime_error("no npy file");
  const std::size_t start = 10 + static_cast<unsigned char>(bytes[8]) + std::size_t{256} * static_cast<unsigned char>(bytes[9]);
  const std::string header = bytes.substr(10, start - 10);
  if (header.find("'<f4'") == std::string::npos) throw std::runtime_error("no float32");
  array.fortran = header.find("'fortran_order': True") != std::string::npos;
  if (std::sscanf(header.c_str() + header.find("'shape'"), "'shape': (%zu, %zu)", &array.rows, &array.columns) != 2)
    throw std::runtime_error("no shape of two axes");
  array.values.resize(array.rows * array.columns);
  if (bytes.size() - start != array.values.size() * sizeof(float)) throw std::runtime_error("wrong length");
  std::memcpy(array.values.data(), bytes.data() + start, bytes.size() - start);
  return array;
}

/// The lines of a CSV file without its comments, split at commas.
struct Csv {
  std::vector<std::string> comments, names;
  std::vector<std::vector<std::string>> rows;
};

inline Csv read_csv(const std::filesystem::path& path) {
  Csv csv;
  std::ifstream stream(path);
  for (std::string line; std::getline(stream, line);) {
    if (line.starts_with("#")) {
      csv.comments.push_back(line);
      continue;
    }
    std::vector<std::string> cells;
    std::string cell;
    for (const char c : line + ",") {
      if (c != ',') {
        cell += c;
        continue;
      }
      cells.push_back(cell);
      cell.clear();
    }
    csv.names.empty() ? csv.names = cells : csv.rows.emplace_back(cells);
  }
  return csv;
}

/// Whether a cell of a CSV reads back to this very number.
inline bool same_float(const std::string& text, float value) {
  return std::isnan(value) ? text == "nan" : std::strtof(text.c_str(), nullptr) == value;
}

class ExportTest : public testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    const convbasis::PlantedOptions planted{.n = 300, .d = 16, .value_width = 5, .k = 4, .T = 4, .noise = 0.001, .seed = 7};
    result_.source = std::make_shared<const Source>(1, SourceRecipe(planted));
    result_.request = {.source = 1, .n = 300, .k = 8, .T = 4, .delta = 0.25, .eps = 0.001};
    analyse();
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void analyse() {
    result_.analysis = std::make_shared<const convbasis::HeadAnalysis<float>>(
        convbasis::analyze_head<float>(result_.source->load(0, 0, result_.request.n), result_.request.options()));
  }
  const convbasis::HeadAnalysis<float>& analysis() const { return *result_.analysis; }
  ValueFile csv(const std::string& name) const {
    return {folder_ / name, ValueFormat::csv, provenance_line(provenance_of(result_))};
  }
  ValueFile npy(const std::string& name) const { return {folder_ / name, ValueFormat::npy, ""}; }
  std::vector<std::string> names() const {
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) found.push_back(entry.path().filename().string());
    return found;
  }

  // Of this test alone: ctest runs several at once.
  std::filesystem::path folder_ =
      std::filesystem::path(testing::TempDir()) /
      (std::string("convscope_export_") + testing::UnitTest::GetInstance()->current_test_info()->name());
  AnalysisResult result_;
};

}  // namespace convscope
