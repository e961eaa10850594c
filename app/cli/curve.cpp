#include "analysis/runtime_curve.h"
#include "cli/console.h"
#include "cli/device.h"
#include "cli/input_options.h"
#include "cli/long_work.h"
#include "cli/machine.h"
#include "cli/verbs.h"
#include "data/npy_writer.h"
#include "state/text.h"

#include <fmt/format.h>
#include <CLI/Validators.hpp>

#include <memory>

namespace convscope {
namespace {

using convbasis::CurvePoint;
using convbasis::CurveRequest;
using nlohmann::ordered_json;

struct CurveOptions {
  CurveRequest request;
  std::string precision = "f32";
  std::string device = "auto";
  std::filesystem::path csv;  ///< empty: not written
  int threads = 0;
  bool json = false;
};

ordered_json point_json(const CurvePoint& point) {
  return {{"method", point.method},
          {"n", point.n},
          {"k", point.k},
          {"d", point.d},
          {"precision", convbasis::name_of(point.precision)},
          {"seconds", point.seconds},
          {"seconds_min", point.seconds_min},
          {"seconds_max", point.seconds_max},
          {"repeats", point.repeats},
          {"extrapolated", point.extrapolated}};
}

std::string csv_text(const Machine& machine, const std::vector<CurvePoint>& points) {
  std::string text =
      fmt::format("# convscope {}, {}, {} threads, {}\n", machine.program, machine.cpu, machine.threads, machine.instruction_set);
  text += "method,n,k,d,precision,seconds,seconds_min,seconds_max,repeats,extrapolated\n";
  for (const CurvePoint& point : points) {
    text += fmt::format("{},{},{},{},{},{},{},{},{},{}\n", point.method, point.n, point.k, point.d,
                        convbasis::name_of(point.precision), point.seconds, point.seconds_min, point.seconds_max, point.repeats,
                        point.extrapolated);
  }
  return text;
}

/// How many times faster than exact attention of the same n in the same run; empty where there is none to compare with.
std::string speed_text(const CurvePoint& point, const std::vector<CurvePoint>& points) {
  for (const CurvePoint& exact : points) {
    if (exact.method == "exact" && exact.n == point.n) return fmt::format("{:.3g}x", exact.seconds / point.seconds);
  }
  return "";
}

void print_table(const Machine& machine, const CurveRequest& request, const std::vector<CurvePoint>& points) {
  print_field("machine", fmt::format("{}, {} threads, {}", machine.cpu, machine.threads, machine.instruction_set));
  print_field("input", fmt::format("planted, d {}, {}", request.d, convbasis::name_of(request.precision)));
  TextTable table({"method", "n", "k", "median", "least", "most", "repeats", "speed-up"}, 1);
  for (const CurvePoint& point : points) {
    table.add({point.method, fmt::format("{}", point.n), point.k == 0 ? "-" : fmt::format("{}", point.k),
               seconds_text(point.seconds), seconds_text(point.seconds_min), seconds_text(point.seconds_max),
               point.extrapolated ? "extrapolated" : fmt::format("{}", point.repeats), speed_text(point, points)});
  }
  table.print();
}

void measure(const CurveOptions& options) {
  if (!options.csv.empty()) require_writable_place("--csv", options.csv);
  LongWork work(options.threads);
  const Device device(options.device, options.precision, 1);
  work.use(device.accelerator());
  const Machine machine = this_machine(options.threads);
  CurveRequest request = options.request;
  request.precision = options.precision == "f64" ? convbasis::Precision::f64 : convbasis::Precision::f32;
  const std::vector<CurvePoint> points = convbasis::measure_curve(request, work.context());
  work.finish();
  device.print_warning();
  if (!options.csv.empty()) {
    write_result([&] { convbasis::write_file_atomically(options.csv, csv_text(machine, points)); });
  }
  if (options.json) {
    ordered_json list = ordered_json::array();
    for (const CurvePoint& point : points) list.push_back(point_json(point));
    print_json({{"machine", to_json(machine)}, {"points", list}});
  } else {
    print_table(machine, request, points);
  }
}

}  // namespace

void add_curve(CLI::App& program) {
  CLI::App* verb =
      program.add_subcommand("curve", "Measure time against n, exact, by convolutions and by low rank, on planted inputs");
  auto options = std::make_shared<CurveOptions>();
  CurveRequest& request = options->request;
  verb->add_option("--n", request.n, "Numbers of tokens, such as 1024,4096")
      ->delimiter(',')
      ->type_name("LIST")
      ->capture_default_str();
  verb->add_option("--k", request.k, "Numbers of segments")->delimiter(',')->type_name("LIST")->capture_default_str();
  verb->add_option("--d", request.d, "Width of query, key and value, even")->type_name("D")->capture_default_str();
  verb->add_option("--degree", request.degree, "Degree of the polynomial features of method rank, whose k is their number")
      ->type_name("G")
      ->capture_default_str();
  add_precision_option(*verb, options->precision);
  add_threads_option(*verb, options->threads);
  verb->add_option("--device", options->device,
                   "Measured beside the CPU: gpu0, or another number; auto: GPU 0 when there is one; cpu: none")
      ->type_name("NAME")
      ->capture_default_str();
  verb->add_option("--csv", options->csv, "Write the points (times in seconds)")->type_name("OUT");
  verb->add_flag("--json", options->json, "Print one JSON object (times in seconds)");
  verb->callback([options] { measure(*options); });
}

}  // namespace convscope
