#include "state/training_json.h"

#include <algorithm>
#include <array>
#include <limits>
#include <string>
#include <utility>

namespace convscope {

namespace {

using convbasis::Between;
using convbasis::Optimiser;
using convbasis::Parameters;

constexpr Index largest_index = Index{1} << 40U;
constexpr double largest_number = std::numeric_limits<double>::max();

/// The values under the names that the command line has for them.
template <class... Values>
auto by_name(Values... values) {
  return std::array{std::pair{convbasis::name_of(values), values}...};
}

void read_problem(const JsonFields& fields, convbasis::OneLayerOptions& problem) {
  fields.read("n", 1, largest_index, problem.n);
  fields.read("d", 2, largest_index, problem.d);
  fields.read("k", 1, largest_index, problem.k);
  fields.read("T", 1, largest_index, problem.T);
  fields.read("noise", 0.0, largest_number, problem.noise);
  fields.read("spread", 0.0, largest_number, problem.spread);
  fields.read("distance", 0.0, largest_number, problem.distance);
  fields.read("seed", problem.seed);
}

int read_count(const JsonFields& fields, const char* name, int otherwise) {
  Index count = otherwise;
  fields.read(name, 1, std::numeric_limits<int>::max(), count);
  return static_cast<int>(count);
}

}  // namespace

nlohmann::json training_json(const TrainingRequest& request) {
  nlohmann::json wanted = nlohmann::json::array();
  for (const Backward backward : convbasis::all_backwards) {
    if (request.wants(backward)) wanted.push_back(convbasis::name_of(backward));
  }
  const convbasis::OneLayerOptions& problem = request.problem;
  return {{"n", problem.n},
          {"d", problem.d},
          {"k", problem.k},
          {"T", problem.T},
          {"noise", problem.noise},
          {"spread", problem.spread},
          {"distance", problem.distance},
          {"seed", problem.seed},
          {"backward", std::move(wanted)},
          {"optimizer", convbasis::name_of(request.optimiser)},
          {"rate", request.rate},
          {"parameters", convbasis::name_of(request.parameters)},
          {"steps", request.steps},
          {"recover_every", request.recover_every},
          {"between", convbasis::name_of(request.between)},
          {"precision", convbasis::name_of(request.precision)}};
}

TrainingRequest read_training(const JsonFields& fields) {
  TrainingRequest request;
  read_problem(fields, request.problem);
  fields.read("optimizer", by_name(Optimiser::gradient_descent, Optimiser::adam), request.optimiser);
  fields.read("rate", 0.0, largest_number, request.rate);
  fields.read("parameters", by_name(Parameters::tied, Parameters::free), request.parameters);
  fields.read("between", by_name(Between::starts, Between::basis), request.between);
  fields.read("precision", by_name(Precision::f64, Precision::f32), request.precision);
  request.steps = read_count(fields, "steps", request.steps);
  request.recover_every = read_count(fields, "recover_every", request.recover_every);
  if (fields.has("backward")) {
    request.wanted = {};
    for (const std::string& name : fields.strings("backward", request.wanted.size())) {
      const auto named = [&](Backward backward) { return convbasis::name_of(backward) == name; };
      const auto found = std::ranges::find_if(convbasis::all_backwards, named);
      if (found == convbasis::all_backwards.end()) {
        fields.complain("has backward " + name + "; it must be exact, estimate or conv");
      }
      request.wanted[static_cast<std::size_t>(*found)] = true;
    }
  }
  return clamped(request);
}

}  // namespace convscope
